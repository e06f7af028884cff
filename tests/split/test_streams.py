"""What a split hangs on: its seed, the domain, the minimum of test images, a client's classes."""

from __future__ import annotations

import numpy as np

from fplbench.dataset import Data, ImageArray, Split, together
from fplbench.plugins import registry
from fplbench.rng import numpy_generator
from fplbench.scenario import Scenario
from fplbench.split import partition
from fplbench.split.options import clients_of
from fplbench.split.whole import split_clients

CLASSES, TRAIN, TEST = 8, 20, 6


def data(domains: int = 0) -> Data:
    def split(each: int) -> Split:
        count = max(domains, 1)
        labels = np.tile(np.repeat(np.arange(CLASSES), each), count).astype(np.int64)
        homes = np.repeat(np.arange(count), CLASSES * each).astype(np.int64)
        images = ImageArray(np.zeros((len(labels), 1, 1), np.uint8))
        return Split(images, labels, homes if domains else None)

    names = tuple(f"thing {place}" for place in range(CLASSES))
    styles = tuple(f"style {place}" for place in range(domains))
    return Data(names, split(TRAIN), split(TEST), ("{}",), "x", "x", styles)


def scenario(name: str, **settings: object) -> Scenario:
    cls = registry.scenarios().get(name)
    made: Scenario = cls(cls.Config(**settings))
    return made


def test_every_client_has_its_minimum_of_test_images() -> None:
    train, test = np.repeat(np.arange(4), 100), np.repeat(np.arange(4), 4)
    for seed in range(20):
        drawn = numpy_generator(seed, "d")
        _, parts = partition.dirichlet(train, test, 4, 0.5, (1, 2), drawn)
        assert min(map(len, parts)) >= 2


def test_shots_are_drawn_by_the_seed() -> None:
    source = data()
    rows = [np.arange(len(source.train.labels))]
    one, other = (
        split_clients(source, rows, [np.arange(3)], 2, seed, "iid").train_rows[0] for seed in (0, 1)
    )
    assert not np.array_equal(one, other)


def test_noise_of_labels_stays_among_a_clients_own_classes() -> None:
    both = together(["one", "other"], [data(), data()])
    made = clients_of(scenario("federation", classes_per_client=2, label_noise=0.5), both, 0)
    assert made.class_mask is not None
    assert made.train_labels is not None
    for client, rows in enumerate(made.train_rows):
        own = made.train_classes[made.class_mask[client]]
        assert np.isin(made.train_labels[rows], own).all()


def test_own_classes_alone_compete_and_own_images_alone_count() -> None:
    both = together(["one", "other"], [data(), data()])
    made = scenario("federation", classes_per_client=2).build(both, 0)
    for client, rows in enumerate(made.train_rows):
        own = np.unique(both.train.labels[rows])
        (exam,) = [
            exam
            for exam in made.exams
            if "local_own" in exam.questions and exam.questions["local_own"].counts[client].any()
        ]
        question = exam.questions["local_own"]
        assert question.class_mask is not None
        assert exam.classes[question.class_mask[client]].tolist() == own.tolist()
        wanted = np.flatnonzero(np.isin(both.test.labels, own)).tolist()
        for name in ("local", "local_own"):
            counted = exam.rows[client][exam.questions[name].counts[client]]
            assert counted.tolist() == wanted


def test_domains_are_dealt_apart() -> None:
    made = scenario("domains", clients_per_domain=2, min_train=1).build(data(domains=2), 0)
    assert not np.array_equal(made.train_rows[0], made.train_rows[2] - CLASSES * TRAIN)

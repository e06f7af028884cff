"""Scenarios built from small real data: who trains on what, and who is asked what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import overload

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from fplbench.dataset import Data, Split, together
from fplbench.errors import UserError
from fplbench.plugins import registry
from fplbench.plugins.base import refusals
from fplbench.scenario import Clients, Exam, Scenario

SCENARIOS = registry.scenarios()
quick = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 10_000)
# Not those that are nothing without an argument, such as a file: test_partition_files has it.
names = pytest.mark.parametrize("name", [n for n, c in SCENARIOS.classes.items() if not c.wants])


class Squares(Sequence[Image.Image]):
    """Small images, drawn when they are asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...
    @overload
    def __getitem__(self, index: slice) -> list[Image.Image]: ...
    def __getitem__(self, index: int | slice) -> Image.Image | list[Image.Image]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.count))]
        return Image.new("RGB", (4, 4), (index % 256, 0, 0))


def split(classes: int, each: int, domains: int) -> Split:
    """`each` images of every class in every domain, shuffled."""
    labels = np.tile(np.repeat(np.arange(classes), each), max(domains, 1))
    homes = np.repeat(np.arange(max(domains, 1)), classes * each)
    order = np.random.default_rng(classes).permutation(len(labels))
    return Split(Squares(len(labels)), labels[order], homes[order] if domains else None)


def data(classes: int = 20, train: int = 30, test: int = 12, domains: int = 0) -> Data:
    return Data(
        classnames=tuple(f"thing {k}" for k in range(classes)),
        train=split(classes, train, domains),
        test=split(classes, test, domains),
        templates=("a photo of a {}.",),
        fingerprint="synthetic",
        split_source="made for a test",
        domains=tuple(f"style {d}" for d in range(domains)),
    )


def make(name: str, **wanted: object) -> Scenario:
    cls = SCENARIOS.get(name)
    return cls(cls.Config.model_validate(wanted))


def build(name: str, source: Data, /, seed: int = 0, **wanted: object) -> Clients:
    return make(name, **wanted).build(source, seed)


def suited(name: str, **shape: int) -> Data:
    if name == "federation":
        return together(["one", "another"], [data(**shape)] * 2)
    return data(**shape, domains=4 if name == "domains" else 0)


def counted(exam: Exam, question: str, client: int) -> list[int]:
    """The test rows that count for a client."""
    return exam.rows[client][exam.questions[question].counts[client]].tolist()


def images_of(source: Data, classes: Sequence[int]) -> list[int]:
    return np.flatnonzero(np.isin(source.test.labels, classes)).tolist()


def as_lists(scenario: Clients) -> list[object]:
    rows = [rows.tolist() for rows in scenario.train_rows]
    return [*rows, *(exam.rows.tolist() for exam in scenario.exams)]


def own_classes(source: Data, scenario: Clients) -> list[set[int]]:
    return [set(source.train.labels[rows].tolist()) for rows in scenario.train_rows]


@names
def test_every_scenario_keeps_the_shapes_that_the_engine_reads(name: str) -> None:
    source = suited(name)
    scenario = build(name, source)
    clients = len(scenario.train_rows)
    assert len(scenario.client_names) == clients == len(set(scenario.client_names))
    for exams, count in ((scenario.exams, clients), (scenario.shared_exams, 1)):
        for exam in exams:
            assert exam.rows.shape[0] == count
            assert exam.rows.max() < len(source.test.labels)
            for question in exam.questions.values():
                assert question.counts.shape == exam.rows.shape
                assert not np.any(question.counts & (exam.rows < 0))
                if question.class_mask is not None:
                    assert question.class_mask.shape == (count, len(exam.classes))
    assert all(rows.max() < len(source.train.labels) for rows in scenario.train_rows)
    asked = [name for exam in scenario.shared_exams for name in exam.questions]
    assert all(name.startswith("global") for name in asked)
    assert asked


@names
def test_every_image_that_counts_shows_a_class_of_its_exam(name: str) -> None:
    source = suited(name)
    scenario = build(name, source)
    for exam in scenario.exams + scenario.shared_exams:
        shown = source.test.labels[exam.rows[exam.rows >= 0]]
        assert np.isin(shown, exam.classes).all()
    for rows in scenario.train_rows:
        assert np.isin(source.train.labels[rows], scenario.train_classes).all()


@names
def test_no_training_image_belongs_to_two_clients(name: str) -> None:
    every = np.concatenate(build(name, suited(name)).train_rows)
    assert len(np.unique(every)) == len(every)


@names
def test_a_seed_decides_the_split_and_another_seed_gives_another(name: str) -> None:
    wanted = {"clients_per_domain": 2} if name == "domains" else {}
    source = suited(name)
    assert as_lists(build(name, source, 5, **wanted)) == as_lists(build(name, source, 5, **wanted))
    assert as_lists(build(name, source, 5, **wanted)) != as_lists(build(name, source, 6, **wanted))


@names
def test_the_defaults_run_on_ten_classes_and_few_images_where_ten_classes_suffice(
    name: str,
) -> None:
    digits = suited(name, classes=10, train=134, test=45)
    if name == "base2novel":
        with pytest.raises(UserError, match="10 clients cannot share 5 base classes"):
            build(name, digits)
    else:
        for seed in range(10):
            assert min(map(len, build(name, digits, seed).train_rows)) >= 10


@quick
@given(classes=st.integers(2, 60), clients=st.integers(1, 12), shots=st.integers(1, 20), seed=seeds)
def test_base_classes_are_dealt_without_overlap_and_novel_ones_to_nobody(
    classes: int, clients: int, shots: int, seed: int
) -> None:
    source = data(classes, train=9, test=2)
    base = (classes + 1) // 2
    clients = min(clients, base)
    scenario = build("base2novel", source, seed, clients=clients, shots=shots)
    own = own_classes(source, scenario)
    assert sorted(k for mine in own for k in mine) == list(range(base))
    assert max(map(len, own)) - min(map(len, own)) <= 1
    for rows in scenario.train_rows:
        there = np.bincount(source.train.labels[rows])
        assert set(there[there > 0].tolist()) == {min(shots, 9)}


def test_base2novel_asks_what_its_names_say() -> None:
    source = data(classes=21)
    scenario = build("base2novel", source, clients=4)
    base_exam, novel_exam = scenario.exams
    assert base_exam.classes.tolist() == list(range(11)) == scenario.train_classes.tolist()
    assert novel_exam.classes.tolist() == list(range(11, 21))
    for client, mine in enumerate(own_classes(source, scenario)):
        others = sorted(set(range(11)) - mine)
        assert counted(base_exam, "local", client) == images_of(source, sorted(mine))
        assert counted(base_exam, "local_own", client) == images_of(source, sorted(mine))
        assert counted(base_exam, "base", client) == images_of(source, range(11))
        assert counted(base_exam, "neighbor", client) == images_of(source, others)
        assert counted(novel_exam, "novel", client) == images_of(source, range(11, 21))
        chosen_among = base_exam.questions["local_own"].class_mask
        assert chosen_among is not None
        assert np.flatnonzero(chosen_among[client]).tolist() == sorted(mine)
    assert all(base_exam.questions[q].class_mask is None for q in ("local", "base", "neighbor"))
    shared, shared_novel = scenario.shared_exams
    assert counted(shared, "global", 0) == images_of(source, range(11))
    assert counted(shared_novel, "global_novel", 0) == images_of(source, range(11, 21))


def test_the_classes_of_a_client_do_not_depend_on_the_shots() -> None:
    source = data()
    few, many = (build("base2novel", source, clients=5, shots=shots) for shots in (2, 8))
    assert own_classes(source, few) == own_classes(source, many)
    for small, large in zip(few.train_rows, many.train_rows, strict=True):
        assert np.isin(small, large).all()


def test_pathological_deals_all_classes_and_asks_for_neighbours() -> None:
    source = data(classes=20)
    scenario = build("pathological", source, clients=6)
    own = own_classes(source, scenario)
    assert sorted(k for mine in own for k in mine) == list(range(20))
    (exam,) = scenario.exams
    assert set(exam.questions) == {"local", "local_own", "all", "neighbor"}
    assert counted(exam, "all", 3) == images_of(source, range(20))
    assert counted(exam, "neighbor", 3) == images_of(source, sorted(set(range(20)) - own[3]))


@pytest.mark.parametrize("name", ["personal", "iid"])
@quick
@given(clients=st.integers(1, 12), seed=seeds)
def test_every_image_goes_to_one_client_of_a_split(name: str, clients: int, seed: int) -> None:
    source = data(classes=6)
    # Ten images for each of twelve clients of 180 cannot always be drawn, and then it is refused.
    easy = {"min_train": 1, "min_test": 0} if name == "personal" else {}
    scenario = build(name, source, seed, clients=clients, **easy)
    trained = np.sort(np.concatenate(scenario.train_rows))
    assert np.array_equal(trained, np.arange(len(source.train.labels)))
    (exam,) = scenario.exams
    tested = sorted(row for c in range(clients) for row in counted(exam, "local", c))
    assert tested == list(range(len(source.test.labels)))
    assert counted(scenario.shared_exams[0], "global", 0) == tested


def test_an_iid_split_is_even() -> None:
    scenario = build("iid", data(classes=7), clients=9)
    sizes = [len(rows) for rows in scenario.train_rows]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("name", ["personal", "iid", "domains"])
def test_shots_bound_each_class_of_each_client(name: str) -> None:
    source = suited(name)
    whole, cut = build(name, source), build(name, source, shots=2)
    for all_rows, rows in zip(whole.train_rows, cut.train_rows, strict=True):
        there, kept = (np.bincount(source.train.labels[r], minlength=20) for r in (all_rows, rows))
        assert np.array_equal(kept, np.minimum(there, 2))
        assert np.isin(rows, all_rows).all()


def test_ten_thousand_clients_need_tables_of_their_own_images_only() -> None:
    source = data(classes=100, train=500, test=100)
    scenario = build("personal", source, clients=10_000, min_train=1, min_test=0)
    assert len(scenario.train_rows) == 10_000
    assert scenario.exams[0].rows.nbytes < 20e6


def test_a_client_is_a_domain_and_is_asked_about_it() -> None:
    source = data(classes=5, domains=3)
    scenario = build("domains", source)
    assert scenario.client_names == source.domains
    (exam,) = scenario.exams
    assert set(exam.questions) == {"local", *(f"domain/style {d}" for d in range(3))}
    assert source.train.domains is not None
    for client, rows in enumerate(scenario.train_rows):
        assert set(source.train.domains[rows].tolist()) == {client}
        own = np.flatnonzero(source.test.domains == client).tolist()
        assert counted(exam, "local", client) == own
        for domain in range(3):
            expected = own if domain == client else []
            assert counted(exam, f"domain/style {domain}", client) == expected
    (shared,) = scenario.shared_exams
    assert counted(shared, "global", 0) == list(range(len(source.test.labels)))
    assert counted(shared, "global/style 1", 0) == counted(exam, "local", 1)


def test_clients_that_share_a_domain_split_its_images_and_are_asked_about_all_of_it() -> None:
    source = data(classes=5, domains=2)
    scenario = build("domains", source, clients_per_domain=3)
    assert scenario.client_names[2:4] == ("style 0 2", "style 1 0")
    assert np.array_equal(
        np.sort(np.concatenate(scenario.train_rows[3:])), np.flatnonzero(source.train.domains == 1)
    )
    whole = np.flatnonzero(source.test.domains == 1).tolist()
    assert all(counted(scenario.exams[0], "domain/style 1", c) == whole for c in (3, 4, 5))


def test_a_held_out_domain_is_trained_on_by_nobody_and_asked_of_everybody() -> None:
    source = data(classes=5, domains=3)
    scenario = build("domains", source, hold_out="style 1")
    assert scenario.client_names == ("style 0", "style 2")
    held = np.flatnonzero(source.test.domains == 1).tolist()
    rest = np.flatnonzero(source.test.domains != 1).tolist()
    assert source.train.domains is not None
    assert 1 not in source.train.domains[np.concatenate(scenario.train_rows)]
    (exam,), (shared,) = scenario.exams, scenario.shared_exams
    assert all(counted(exam, "hold_out", client) == held for client in (0, 1))
    assert "domain/style 1" not in exam.questions
    assert counted(exam, "local", 1) == np.flatnonzero(source.test.domains == 2).tolist()
    assert counted(shared, "global", 0) == rest
    assert counted(shared, "global_hold_out", 0) == held


def test_with_a_single_source_everybody_is_asked_about_all_other_domains_one_by_one() -> None:
    source = data(classes=5, domains=3)
    scenario = build("domains", source, source="style 1", clients_per_domain=2)
    assert scenario.client_names == ("style 1 0", "style 1 1")
    assert source.train.domains is not None
    assert set(source.train.domains[np.concatenate(scenario.train_rows)]) == {1}
    (exam,), (shared,) = scenario.exams, scenario.shared_exams
    own, *away = ["domain/style 1", "unseen/style 0", "unseen/style 2"]
    assert set(exam.questions) == {"local", own, *away}
    assert set(shared.questions) == {"global", "global/style 1", *(f"global_{n}" for n in away)}
    tests = {d: np.flatnonzero(source.test.domains == d).tolist() for d in range(3)}
    for client in (0, 1):
        assert counted(exam, "local", client) == counted(exam, own, client) == tests[1]
        assert counted(exam, "unseen/style 0", client) == tests[0]
        assert counted(exam, "unseen/style 2", client) == tests[2]
    assert counted(shared, "global", 0) == tests[1]
    assert counted(shared, "global_unseen/style 2", 0) == tests[2]


def test_a_single_source_is_each_domain_in_turn_and_no_setting_where_there_is_none() -> None:
    cells = make("domains", source="each").expand(("photo", "sketch"))
    assert [cell.config.model_dump()["source"] for cell in cells] == ["photo", "sketch"]
    assert "source" not in make("domains").config.model_dump()
    with pytest.raises(UserError, match="two questions"):
        make("domains", source="photo", hold_out="sketch").expand(("photo", "sketch"))
    with pytest.raises(UserError, match="'stile 1' to train on, did you mean 'style 1'"):
        build("domains", data(domains=2), source="stile 1")
    with pytest.raises(UserError, match="style 0 is the only domain, so none is unseen"):
        build("domains", data(domains=1), source="style 0")


def test_each_stands_for_one_cell_a_domain() -> None:
    each, plain = make("domains", hold_out="each"), make("domains")
    cells = each.expand(("photo", "sketch"))
    assert [cell.config.model_dump()["hold_out"] for cell in cells] == ["photo", "sketch"]
    assert plain.expand(("photo", "sketch")) == [plain]
    with pytest.raises(UserError, match="no domains"):
        each.expand(())
    with pytest.raises(ValueError, match="expand"):
        each.build(data(domains=2), 0)


@pytest.mark.parametrize(
    ("name", "shape", "wanted", "sentence"),
    [
        ("base2novel", {"classes": 12}, {"clients": 7}, "7 clients cannot share 6 base classes"),
        ("base2novel", {"classes": 1}, {}, "at least 2 classes, but there are 1"),
        ("pathological", {"classes": 6}, {}, "10 clients cannot share 6 classes.*at most 6"),
        ("pathological", {"train": 0}, {}, "client 0 would be empty: its 2 classes"),
        ("personal", {"classes": 2, "train": 30}, {}, "10 clients.* need 100 images.*are 60"),
        ("personal", {"test": 0}, {}, "at least 1 test images each need 10 .*are 0"),
        ("iid", {"classes": 2, "train": 3}, {}, "10 clients cannot share 6 training images"),
        ("iid", {"classes": 2, "test": 3}, {}, "10 clients cannot share 6 test images"),
        ("domains", {}, {}, "the data set has no domains"),
        ("domains", {}, {"hold_out": "sketch"}, "the data set has no domains"),
        ("domains", {"domains": 3}, {"hold_out": "stile 2"}, "'stile 2'.*did you mean 'style 2'"),
        ("domains", {"domains": 1}, {"hold_out": "style 0"}, "style 0 leaves none.*only domain"),
        ("domains", {"domains": 2, "train": 0}, {}, "client of domain style 0 would be empty"),
        (
            "domains",
            {"domains": 2, "classes": 2, "train": 5},
            {"clients_per_domain": 2},
            "domain style 0: 2 clients.* need 20 images.*are 10",
        ),
    ],
)
def test_a_split_that_cannot_be_made_is_refused_with_the_numbers(
    name: str, shape: dict[str, int], wanted: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        build(name, data(**shape), **wanted)


@pytest.mark.parametrize(
    ("name", "wanted", "sentence"),
    [
        ("personal", {"alpha": 0}, "alpha is 0, but must be above 0"),
        ("domains", {"alpha": float("nan")}, "alpha is nan, but must be a finite number"),
        ("personal", {"alpha": float("inf")}, "alpha is inf"),
        ("base2novel", {"shots": 0}, "shots is 0, but must be at least 1"),
        ("iid", {"clients": 0}, "clients is 0"),
        ("domains", {"clients_per_domain": -1}, "clients_per_domain is -1"),
        ("personal", {"min_train": 0}, "min_train is 0"),
    ],
)
def test_settings_that_no_data_could_satisfy_are_refused(
    name: str, wanted: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValidationError) as error:
        make(name, **wanted)
    (said,) = refusals(error.value, f"scenario {name}")
    assert re.match(rf"{sentence}.* \(scenario {name}\)\.$", said)


@names
def test_settings_have_sources_and_refuse_what_they_do_not_know(name: str) -> None:
    cls = SCENARIOS.get(name)
    assert all(field.description for field in cls.Config.model_fields.values())
    assert set(cls.training_defaults) == {"rounds", "local_epochs", "participation"}
    with pytest.raises(ValidationError):
        make(name, client=3)


@pytest.mark.parametrize(
    ("name", "wanted", "caption"),
    [
        ("base2novel", {}, "10 clients with classes of their own, 16 shots"),
        ("personal", {"alpha": 0.1, "shots": 4}, "10 clients, Dirichlet(0.1), 4 shots"),
        ("iid", {"clients": 3}, "3 clients, evenly dealt"),
        ("domains", {"hold_out": "sketch"}, "a client a domain, sketch held out"),
        ("domains", {"clients_per_domain": 5}, "5 clients a domain, Dirichlet(0.3)"),
        ("domains", {"source": "photo"}, "a client a domain, photo alone trained on"),
    ],
)
def test_a_caption_names_what_decides_the_split(
    name: str, wanted: dict[str, object], caption: str
) -> None:
    assert make(name, **wanted).describe() == caption

"""Options of every scenario: a long tail and wrong labels, from the seed, for training alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from benches import workbench

from fplbench.dataset import Data
from fplbench.engine.federation import Federation
from fplbench.errors import UserError
from fplbench.grid.expand import expand
from fplbench.grid.journal import Journal
from fplbench.grid.run import with_ids
from fplbench.grid.runner import run_cell
from fplbench.machine import process
from fplbench.plugins import registry
from fplbench.records.results import results_of
from fplbench.scenario import Clients, Scenario
from fplbench.spec import Request
from fplbench.split.check import faults
from fplbench.split.options import clients_of, tail_sizes

SCENARIOS = registry.scenarios()
NAMES = [name for name, cls in SCENARIOS.classes.items() if not cls.wants]
# What a scenario cannot do without.
SUITED = {"domains": "shapes_domains", "federation": "digits+shapes"}
names = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Data]:
    sets, cache = registry.datasets(), tmp_path_factory.mktemp("cache")
    names = ("shapes", *SUITED.values())
    return {name: sets.get(name)().load(None, cache) for name in names}


def taken(name: str, embedded: dict[str, Data]) -> Data:
    return embedded[SUITED.get(name, "shapes")]


def made(name: str, **options: float) -> Scenario:
    cls = SCENARIOS.get(name)
    few = {"clients": 4} if "clients" in cls.Config.model_fields else {}
    return cls(cls.Config(**few, **options))


def rows(clients: Clients) -> list[list[int]]:
    return [each.tolist() for each in clients.train_rows]


def exams(clients: Clients) -> list[list[list[int]]]:
    return [exam.rows.tolist() for exam in (*clients.exams, *clients.shared_exams)]


@names
def test_noise_reaches_the_labels_of_training_and_nothing_else(
    name: str, embedded: dict[str, Data]
) -> None:
    data = taken(name, embedded)
    true = data.train.labels.copy()
    plain, half = (clients_of(made(name, label_noise=r), data, 3) for r in (0, 0.5))
    assert plain.train_labels is None
    assert half.train_labels is not None
    assert list(faults(half, data)) == []
    assert rows(half) == rows(plain)
    assert exams(half) == exams(plain)
    assert np.array_equal(data.train.labels, true)
    dealt = np.concatenate(half.train_rows)
    wrong = half.train_labels[dealt] != true[dealt]
    # Within four standard deviations of a binomial share.
    assert abs(wrong.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(dealt))
    assert np.isin(half.train_labels[dealt], half.train_classes).all()


@names
def test_noise_hangs_on_the_seed_and_grows_with_the_rate(
    name: str, embedded: dict[str, Data]
) -> None:
    data = taken(name, embedded)
    few, again, more, other = (
        clients_of(made(name, label_noise=rate), data, seed).labels(data)
        for rate, seed in ((0.2, 3), (0.2, 3), (0.6, 3), (0.2, 4))
    )
    assert np.array_equal(few, again)
    assert not np.array_equal(few, other)
    wrong = few != data.train.labels
    assert np.array_equal(more[wrong], few[wrong])


def test_every_other_class_is_alike(embedded: dict[str, Data]) -> None:
    data = embedded["shapes"]
    labels, classes = data.train.labels, len(data.classnames)
    told = clients_of(made("iid", label_noise=1.0), data, 0).labels(data)
    away = np.bincount((told - labels) % classes, minlength=classes)
    assert away[0] == 0
    expected = len(labels) / (classes - 1)
    chi_squared = ((away[1:] - expected) ** 2 / expected).sum()
    # 98 degrees of freedom: mean 98, standard deviation 14.
    assert chi_squared < 98 + 4 * 14


def test_the_tail_is_that_of_cifar_10_lt() -> None:
    """The ten numbers of CIFAR-10-LT at factor 100, as its users know them: 12,406 images."""
    sizes = tail_sizes(np.full(10, 5000), 100)
    assert sizes.tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert sizes.sum() == 12_406
    assert tail_sizes(np.full(100, 500), 100)[[0, -1]].tolist() == [500, 5]
    assert tail_sizes(np.array([10, 3, 0, 7]), 10).tolist() == [10, 3, 0, 1]
    assert tail_sizes(np.array([10]), 10).tolist() == [10]


@names
def test_a_tail_cuts_the_training_images_alone(name: str, embedded: dict[str, Data]) -> None:
    data = taken(name, embedded)
    cut, again, other = (clients_of(made(name, imbalance=5), data, seed) for seed in (3, 3, 4))
    assert list(faults(cut, data)) == []
    assert rows(cut) == rows(again) != rows(other)
    tested = np.unique(np.concatenate([exam.rows.ravel() for exam in cut.shared_exams]))
    whole = clients_of(made(name), data, 3)
    assert np.array_equal(
        tested, np.unique(np.concatenate([exam.rows.ravel() for exam in whole.shared_exams]))
    )
    held = np.bincount(data.train.labels[np.concatenate(cut.train_rows)])
    there = np.bincount(data.train.labels, minlength=len(data.classnames))
    most = tail_sizes(there, 5)
    assert (held <= most[: len(held)]).all()
    if name in ("iid", "personal"):
        assert held.tolist() == most.tolist()


def test_a_tail_that_leaves_too_little_is_refused_with_its_number(
    embedded: dict[str, Data],
) -> None:
    cls = SCENARIOS.get("iid")
    scenario = cls(cls.Config(clients=900, imbalance=1e6))
    with pytest.raises(UserError, match=r"900 clients cannot share .* \(imbalance 1e\+06\)$"):
        clients_of(scenario, embedded["shapes"], 0)


def test_what_is_off_makes_no_other_cell_and_what_is_on_is_trained_on_and_said(
    tmp_path: Path,
) -> None:
    process.full_precision()
    bench = workbench(tmp_path / "cache")

    def cells(**options: object) -> list:
        small = {"clients": 4, "shots": 4, "rounds": 1, "local_epochs": 1}
        request = Request(methods=("promptfl",), datasets=("digits",), options=small | options)
        return with_ids(expand(request, bench), bench)

    (plain,), (off,) = cells(), cells(label_noise=0, imbalance=1)
    assert plain == off
    assert not {"label_noise", "imbalance"} & plain.cell.scenario_settings.keys()
    (on,) = cells(label_noise=1, imbalance=2)
    assert on.id != plain.id
    data, method = bench.data("digits"), bench.method(on.cell)
    clients = clients_of(bench.scenario(on.cell), data, 0)
    federation = Federation(
        method,
        bench.task_for("tiny", "digits"),
        clients,
        bench.images("tiny", "digits", "train", method.inputs),
        0,
        torch.device("cpu"),
    )
    seen = federation.local_data(range(4))
    for client, mine in enumerate(clients.train_rows):
        told = seen.labels[client][seen.mask[client]].numpy()
        assert told.tolist() == clients.labels(data)[mine].tolist()
        assert not np.any(told == data.train.labels[mine])
    records = [
        run_cell(job.cell, bench, Journal(tmp_path / job.id, "cell")).record for job in (plain, on)
    ]
    assert [record.status for record in records] == ["done", "done"]
    assert records[1].id == on.id
    assert records[1].words.endswith(", a long tail of 1 to 2, 100 % of the training labels wrong")
    assert {"scen.label_noise", "scen.imbalance"} <= {*records[1].changed}
    table = results_of([(tmp_path, record) for record in records], [])
    assert set(table["scen.label_noise"]) == {0.0, 1.0}

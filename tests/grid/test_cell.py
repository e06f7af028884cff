"""Cells whose training differs in more than numbers: precision and views."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from benches import workbench

from fplbench.features.backbones import method_defaults
from fplbench.features.stock import Workbench
from fplbench.grid import defaults
from fplbench.grid.expand import expand
from fplbench.grid.journal import Journal
from fplbench.grid.recording import Outcome
from fplbench.grid.runner import run_cell
from fplbench.plugins import registry
from fplbench.scenarios.personal import Personal
from fplbench.spec import Request, Training

METHODS, DATASETS = registry.methods(), registry.datasets()
SMALL = {"clients": 3, "shots": 4, "rounds": 2, "lr": 0.02}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return workbench(tmp_path_factory.mktemp("cache"))


def outcome(bench: Workbench, method: str = "promptfl", **options: object) -> Outcome:
    request = Request(
        methods=(method,), datasets=("digits",), options=SMALL | options, sets={"n_ctx": 2}
    )
    (cell,) = expand(request, bench)
    with TemporaryDirectory() as root:
        journal = Journal(Path(root), "cell")
        return run_cell(cell, bench, journal)


def seeded(bench: Workbench, seed: int) -> Outcome:
    """Of a seed, with hardly a step made."""
    options = SMALL | {"lr": 1e-9}
    request = Request(methods=("promptfl",), datasets=("digits",), seeds=(seed,), options=options)
    (cell,) = expand(request, bench)
    with TemporaryDirectory() as root:
        return run_cell(cell, bench, Journal(Path(root), "cell"))


def prompt(of: Outcome) -> torch.Tensor:
    return of.tensors["server.ctx"]


def test_bfloat16_moves_a_prompt_about_as_float32_does(bench: Workbench) -> None:
    exact, low = outcome(bench), outcome(bench, precision="bf16")
    assert exact.record.status == low.record.status == "done"
    assert exact.record.id != low.record.id
    assert prompt(low).dtype == torch.float32
    start = outcome(bench, lr=1e-9)
    moved, other = prompt(exact) - prompt(start), prompt(low) - prompt(start)
    assert not torch.equal(moved, other)
    assert float((moved - other).norm()) < 0.1 * float(moved.norm())


def test_views_are_trained_on_and_the_test_images_stay(bench: Workbench) -> None:
    one, two = outcome(bench), outcome(bench, views=2)
    assert one.record.id != two.record.id
    assert not torch.equal(prompt(one), prompt(two))
    frozen_one, frozen_two = outcome(bench, lr=1e-9), outcome(bench, lr=1e-9, views=2)
    for name, metric in frozen_one.record.metrics.items():
        assert metric.mean == frozen_two.record.metrics[name].mean


def test_a_record_names_what_is_not_the_default(bench: Workbench) -> None:
    """As the defaults are when it is made: of the backbone and the scenario, not Training's."""
    plain = {"set.n_ctx", "scen.clients", "scen.shots", "train.rounds", "train.lr"}
    assert set(outcome(bench).record.changed or []) == plain
    usual = Training(**defaults.training("tiny", Personal)).lr
    assert usual != Training().lr
    assert set(outcome(bench, lr=usual).record.changed or []) == plain - {"train.lr"}
    usual_length = method_defaults("tiny")["n_ctx"]
    (cell,) = expand(
        Request(methods=("promptfl",), datasets=("digits",), options=SMALL | {"rounds": 1}),
        bench,
    )  # fmt: skip
    assert cell.settings["n_ctx"] == usual_length
    assert "set.n_ctx" not in defaults.changed(cell, METHODS.get("promptfl"), Personal)
    assert "train.views" in (outcome(bench, views=2).record.changed or [])


def test_what_a_step_takes_does_not_hang_on_what_ran_before(bench: Workbench) -> None:
    first = outcome(bench).record
    outcome(bench, "pfedprompt")
    again = outcome(bench).record
    assert first.hardware["step_bytes_client"] == again.hardware["step_bytes_client"]
    assert isinstance(first.hardware["step_bytes_client"], int)
    assert first.hardware["step_bytes_client"] > 10_000
    least, median, most = first.round_seconds or (0.0, 0.0, 0.0)
    assert 0 < least <= median <= most


def test_a_memory_holds_images_as_they_are(bench: Workbench, tmp_path: Path) -> None:
    one = outcome(bench, "pfedprompt", lr=1e-9)
    two = outcome(bench, "pfedprompt", lr=1e-9, views=2)
    clients = [np.array(each.record.metrics["local"].per_client) for each in (one, two)]
    assert np.array_equal(*clients)


def test_last5_is_the_mean_over_the_last_five_rounds_where_all_were_evaluated(
    bench: Workbench,
) -> None:
    every, some = (outcome(bench, rounds=6, evaluations=count) for count in (6, 4))
    history = every.history
    for name, metric in every.record.metrics.items():
        assert metric.last5 == pytest.approx(history[name].iloc[1:].mean())
    assert {metric.last5 for metric in some.record.metrics.values()} == {None}


def test_another_seed_deals_other_images_and_starts_elsewhere(bench: Workbench) -> None:
    one, other = (seeded(bench, seed) for seed in (0, 1))
    assert one.record.label_counts != other.record.label_counts
    assert not torch.equal(prompt(one), prompt(other))

"""Checkpoints: a cell that was interrupted at any round ends with the same bits."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from benches import workbench
from few_digits import with_few_digits

from fplbench.engine import private
from fplbench.features.stock import Workbench
from fplbench.grid.expand import expand
from fplbench.grid.journal import Journal
from fplbench.grid.recording import Outcome
from fplbench.grid.runner import run_cell
from fplbench.grid.stop import Stop, Stopped
from fplbench.plugins import registry
from fplbench.records import checkpoint
from fplbench.spec import Request

METHODS, DATASETS = registry.methods(), registry.datasets()
SMALL = {
    "clients": 4, "shots": 2, "rounds": 4, "local_epochs": 1, "lr": 0.01, "participation": 0.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return with_few_digits(workbench(tmp_path_factory.mktemp("cache")))


def outcome(bench: Workbench, method: str, root: Path, stopped: bool) -> Outcome:
    """A cell to its end; or stopped, as by SIGTERM, in the first round that it computes."""
    request = Request(
        methods=(method,), datasets=("few_digits",), options=SMALL | {"evaluations": 2}
    )
    (cell,) = expand(request, bench)
    stop = Stop()
    stop.asked = stopped
    journal = Journal(root, "cell", stop=stop, every=1e9)
    return run_cell(cell, bench, journal)


def without_times(history: pd.DataFrame) -> str:
    return history.drop(columns="seconds", errors="ignore").to_csv()


@pytest.mark.parametrize("method", list(METHODS.classes))
def test_interrupted_anywhere_a_cell_ends_with_the_same_bits(
    bench: Workbench, tmp_path: Path, method: str
) -> None:
    whole = outcome(bench, method, tmp_path / "whole", False)
    assert whole.record.status == "done"
    for done in (1, 2, 3):
        with pytest.raises(Stopped):
            outcome(bench, method, tmp_path / "cut", True)
        state = checkpoint.read(tmp_path / "cut" / ".work" / "cell")
        assert state is not None
        assert state.facts["round"] == done
    resumed = outcome(bench, method, tmp_path / "cut", False)
    assert resumed.record.metrics == whole.record.metrics
    assert list(resumed.record.metrics) == list(whole.record.metrics)
    assert resumed.record.traffic == whole.record.traffic
    assert resumed.record.never_sampled == whole.record.never_sampled
    assert resumed.record.hardware == whole.record.hardware
    assert without_times(resumed.history) == without_times(whole.history)
    assert resumed.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(resumed.tensors[n], whole.tensors[n]) for n in whole.tensors)
    assert resumed.log.count("goes on after round") == 3
    assert [f"round {n}/4" in resumed.log for n in (1, 2, 3, 4)] == [True] * 4


@pytest.mark.parametrize("method", ["coop", "fedotp", "fedpha_he", "dpfpl"])
def test_clients_whose_tensors_lie_in_files_end_with_the_same_bits(
    bench: Workbench, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = outcome(bench, method, tmp_path / "whole", False)
    monkeypatch.setattr(private, "BUDGET", 0)
    for done in (1, 2, 3):
        with pytest.raises(Stopped):
            outcome(bench, method, tmp_path, True)
        state = checkpoint.read(tmp_path / ".work" / "cell")
        assert state is not None
        assert not any(name.startswith(private.PREFIX) for name in state.tensors)
        assert state.facts["round"] == done
    resumed = outcome(bench, method, tmp_path, False)
    assert resumed.log.count("goes on after round") == 3
    assert resumed.record.metrics == whole.record.metrics
    clients = resumed.tensors.pop("private.clients")
    assert 2 <= len(clients) <= 4
    assert resumed.tensors.keys() == whole.tensors.keys()
    for name, t in whole.tensors.items():
        mine = t[clients] if name.startswith(private.PREFIX) else t
        assert torch.equal(resumed.tensors[name], mine)


def test_from_files_that_were_damaged_a_cell_begins_anew(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "BUDGET", 0)
    whole = outcome(bench, "coop", tmp_path / "whole", False)
    with pytest.raises(Stopped):
        outcome(bench, "coop", tmp_path, True)
    path = tmp_path / ".work" / "cell" / private.NAME
    data = bytearray(path.read_bytes())
    there = next(i for i, byte in enumerate(data) if byte)
    data[there] ^= 1
    path.write_bytes(data)
    again = outcome(bench, "coop", tmp_path, False)
    assert "begins anew: what client" in again.log
    assert again.record.metrics == whole.record.metrics


def test_other_threads_on_the_way_are_recorded(bench: Workbench, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    with pytest.raises(Stopped):
        outcome(bench, "promptfl", tmp_path, True)
    try:
        torch.set_num_threads(threads + 1)
        resumed = outcome(bench, "promptfl", tmp_path, False)
    finally:
        torch.set_num_threads(threads)
    (before,) = resumed.record.hardware["also_ran_on"]
    assert (before["until_round"], before["threads"]) == (1, threads)


def test_from_a_damaged_checkpoint_a_cell_begins_anew(bench: Workbench, tmp_path: Path) -> None:
    whole = outcome(bench, "promptfl", tmp_path / "whole", False)
    with pytest.raises(Stopped):
        outcome(bench, "promptfl", tmp_path, True)
    path = tmp_path / ".work" / "cell" / checkpoint.NAME
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    again = outcome(bench, "promptfl", tmp_path, False)
    assert "begins anew" in again.log
    assert again.record.metrics == whole.record.metrics


def test_from_another_versions_checkpoint_a_cell_begins_anew(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = outcome(bench, "promptfl", tmp_path / "whole", False)
    with monkeypatch.context() as before:
        before.setattr(checkpoint, "LAYOUT", 1)
        with pytest.raises(Stopped):
            outcome(bench, "promptfl", tmp_path, True)
    again = outcome(bench, "promptfl", tmp_path, False)
    assert "is of another version of fplbench" in again.log
    assert again.record.metrics == whole.record.metrics

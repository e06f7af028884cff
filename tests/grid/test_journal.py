"""What a running cell writes down."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from fplbench.grid.claims import Claims
from fplbench.grid.journal import ClaimLost, Journal
from fplbench.grid.stop import Stop, Stopped
from fplbench.records import checkpoint
from fplbench.records.checkpoint import State

STATE = State({"server.ctx": torch.zeros(2)}, {"round": 1})
ROW = {"round": 1, "loss": 2.5, "local": 61.25, "seconds": 0.5}


def test_a_round_is_a_line_that_can_be_read_at_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "cell")
    journal.round(ROW, 3)
    journal.round(ROW | {"round": 2, "local": float("nan")}, 3)
    text = (journal.folder / "log.txt").read_text()
    assert text == journal.log.text()
    first, second = text.splitlines()
    assert first.endswith("round 1/3  loss 2.5  local 61.25  seconds 0.5")
    assert second.endswith("round 2/3  loss 2.5  seconds 0.5")


def test_tensorboard_can_read_the_scalars(tmp_path: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    journal = Journal(tmp_path, "cell", tensorboard=True)
    journal.round(ROW, 3)
    journal.round(ROW | {"round": 2, "loss": 1.5}, 3)
    journal.close()
    found = reading.EventAccumulator(str(tmp_path / "tensorboard" / "cell")).Reload()
    assert [(e.step, e.value) for e in found.Scalars("loss")] == [(1, 2.5), (2, 1.5)]
    assert found.Scalars("local")[0].value == 61.25


def test_a_stop_saves_and_then_leaves(tmp_path: Path) -> None:
    stop = Stop()
    journal = Journal(tmp_path, "cell", stop=stop, every=1e9)
    journal.between_rounds(lambda: STATE, last=False)
    assert checkpoint.read(journal.folder) is None
    stop.asked = True
    with pytest.raises(Stopped):
        journal.between_rounds(lambda: STATE, last=False)
    assert checkpoint.read(journal.folder) is not None


def test_who_lost_its_cell_writes_no_checkpoint(tmp_path: Path) -> None:
    held = Claims(tmp_path).take("cell")
    assert held is not None
    other = Claims(tmp_path, dead=frozenset([held.claim.nonce])).take("cell")
    assert other is not None
    journal = Journal(tmp_path, "cell", held, every=0)
    with pytest.raises(ClaimLost):
        journal.between_rounds(lambda: STATE, last=False)
    assert checkpoint.read(journal.folder) is None


def test_a_checkpoint_that_does_not_fit_is_noted_and_the_cell_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, state: State) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "write", full)
    journal = Journal(tmp_path, "cell", every=0)
    journal.between_rounds(lambda: STATE, last=False)
    assert "no checkpoint: No space left on device" in journal.log.text()

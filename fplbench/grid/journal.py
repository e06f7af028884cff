"""What is kept of a cell while it runs, and the moments at which its runner may leave it.

ROOT/.work/ID/log.txt                  goes into the cell's folder with the record
ROOT/.work/ID/checkpoint.safetensors   goes when the record is there
ROOT/tensorboard/ID/                   stays, and can be looked at while the cell runs
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from fplbench.grid.claims import Held
from fplbench.grid.log import Log
from fplbench.grid.scalars import Scalars
from fplbench.grid.stop import Stop
from fplbench.records import checkpoint
from fplbench.records.checkpoint import DamagedCheckpoint, State
from fplbench.records.store import LOG, WORK


class ClaimLost(Exception):
    """Another runner took this one for dead, and has the cell now."""


class Journal:
    """Of one cell that this runner holds.

    every: seconds between checkpoints, written after the first round that ends later; 0 for one
    after every round. metrics: those that the log names round by round.
    """

    def __init__(
        self,
        root: Path,
        cell_id: str,
        held: Held | None = None,
        stop: Stop | None = None,
        every: float = 30.0,
        tensorboard: bool = False,
        metrics: Sequence[str] = ("local", "global"),
    ) -> None:
        self.folder = root / WORK / cell_id
        self.log = Log(self.folder / LOG, metrics)
        self._held = held
        self._stop = stop or Stop()
        self._every = every
        self._last = time.monotonic()
        self._scalars = Scalars(root / "tensorboard" / cell_id) if tensorboard else None

    def patient(self) -> AbstractContextManager[None]:
        """A stop waits for the end of the round while this lasts."""
        return self._stop.patient()

    def resume(self) -> State | None:
        """The last checkpoint; one that is of no use is noted, and the cell begins anew."""
        try:
            state = checkpoint.read(self.folder)
        except DamagedCheckpoint as error:
            self.begin_anew(str(error))
            return None
        if state is not None:
            self.log.lines = list(state.facts["log"])
            self.log.note(f"goes on after round {state.facts['round']}")
        return state

    def begin_anew(self, why: str) -> None:
        """Note that what was there is of no use."""
        self.log.lines = []
        self.log.note(f"begins anew: {why}")

    def round(self, row: dict[str, float], rounds: int) -> None:
        """Write down what a round did."""
        self.log.round(row, rounds)
        if self._scalars is not None:
            self._scalars.round(row)

    def between_rounds(
        self, state: Callable[[], State], last: bool, saved: Callable[[], None] | None = None
    ) -> None:
        """Save when it is time to, or when a stop is asked for, which then takes place.

        state: called for the State; saved: called once that is on the disk. ClaimLost if the cell
        is another runner's by now.
        """
        if self._held is not None and self._held.lost():
            raise ClaimLost
        asked = self._stop.asked
        if not last and (asked or time.monotonic() - self._last >= self._every):
            self._save(state, saved)
        if not last:
            self._stop.leave_if_asked()

    def _save(self, state: Callable[[], State], saved: Callable[[], None] | None) -> None:
        try:
            found = state()
            facts = found.facts | {"log": self.log.lines}
            checkpoint.write(self.folder, State(found.tensors, facts))
            if saved is not None:
                saved()
        except OSError as error:
            # The cell may still end well, so a full disk is no reason to end it here.
            self.log.note(f"no checkpoint: {error.strerror or error}")
        self._last = time.monotonic()

    def close(self) -> None:
        """Let go of TensorBoard's file."""
        if self._scalars is not None:
            self._scalars.close()

    def discard(self) -> None:
        """The record is there: log and checkpoint are not needed any more."""
        shutil.rmtree(self.folder, ignore_errors=True)

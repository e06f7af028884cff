"""What runners are given, and whom they tell how far they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fplbench.records.store import Store
from fplbench.spec import Cell


@dataclass(frozen=True)
class Job:
    """A cell and its id, which takes data and weights to know.

    again: the stamp of the record of a failed cell that is to be computed once more; a failed
    cell without one, or whose record is another by now, is left alone.
    """

    cell: Cell
    id: str
    again: int | None = None

    def settled(self, store: Store) -> bool:
        """Whether nothing is to be done: done, or failed and not to be tried again, or another
        version's."""
        status = store.status(self.id)
        if status in ("failed", "diverged"):
            return store.stamp(self.id) != self.again
        return status in ("done", "foreign")


class Watcher(Protocol):
    """What the screen is told."""

    def began(self, job: Job) -> None:
        """A runner has taken the cell."""

    def encoded(self, job: Job, done: int, images: int) -> None:
        """The image tower has done this many images of a split that the cell needs."""

    def round(self, job: Job, done: int, rounds: int, row: dict[str, float]) -> None:
        """The cell has done this many rounds; row: the last one's of the history."""

    def ended(self, job: Job) -> None:
        """The cell is done, or will not be, by whomever."""


class Unwatched:
    """A watcher that shows nothing."""

    def began(self, job: Job) -> None: ...

    def encoded(self, job: Job, done: int, images: int) -> None: ...

    def round(self, job: Job, done: int, rounds: int, row: dict[str, float]) -> None: ...

    def ended(self, job: Job) -> None: ...

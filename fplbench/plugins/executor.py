"""The contract of an executor: one file in fplbench/executors/ (or a plug-in) with one subclass of
Executor, which says where cells are computed.

An executor's file is read for `fplbench run --help`: it imports torch, and whatever it computes
with, inside its methods.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from fplbench.machine.place import Place
from fplbench.plugins.base import Plugin, Settings

if TYPE_CHECKING:
    from fplbench.features.stock import Workbench
    from fplbench.grid.jobs import Job, Watcher


class Executor(Plugin):
    """Where cells are computed; `run --executor NAME`.

    Config: what it can be told; each field is a flag of `run`, with the field's description.
    Runners meet in the store and nowhere else (`fplbench.grid.runner`), so an executor has
    nothing to bring back.
    """

    kind = "executor"
    texts = ("summary",)
    summary: ClassVar[str]
    Config: ClassVar[type[Settings]] = Settings

    def __init__(self, config: Settings) -> None:
        self.config = config

    def require(self) -> None:
        """UserError, before any data are read, where it cannot be used here."""
        return

    def devices(self, asked: str) -> list[str]:
        """The devices that --device names, on the machine that computes."""
        from fplbench.machine.process import choose_devices

        return choose_devices(asked)

    def processes(self, devices: Sequence[str], jobs: int | None) -> int:
        """How many cells are computed at a time; for the estimate of a dry run."""
        return jobs or len(devices)

    def alone(self, devices: Sequence[str], jobs: int | None) -> bool:
        """Whether cells are computed by the very process that asks for them."""
        return False

    @abstractmethod
    def compute(
        self,
        place: Place,
        bench: Workbench,
        cells: Sequence[Job],
        devices: Sequence[str],
        jobs: int | None,
        watcher: Watcher,
    ) -> None:
        """Compute the cells until each has a record.

        bench: of the process that asks, with its data looked at. jobs: the most at a time, where
        the user gave a number. UserError as a cell's runner meets it; Stopped on SIGTERM, once
        running cells are saved.
        """

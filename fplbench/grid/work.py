"""One runner: take a cell that nobody has, compute it, keep it, take the next.

Every executor runs this, in one process or in many on many machines; they meet in the store and
nowhere else.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from fplbench.errors import UserError
from fplbench.features.stock import Workbench
from fplbench.grid.cell import Outcome, run_cell
from fplbench.grid.claims import FOLDER, Claims, Held
from fplbench.grid.journal import ClaimLost, Journal
from fplbench.grid.stop import Stop
from fplbench.machine import process
from fplbench.method import Method
from fplbench.plugins import registry
from fplbench.plugins.registry import Found
from fplbench.records.store import WORK, Store
from fplbench.spec import Cell

POLL = 2.0
"""Seconds between two looks at cells that run elsewhere."""


@dataclass(frozen=True)
class Job:
    """A cell and its id, which takes data and weights to know."""

    cell: Cell
    id: str


@dataclass(frozen=True)
class Setup:
    """What a process needs to compute cells; travels to other processes and machines.

    store: where records go; cache: where features are kept. threads: of torch; None leaves them.
    checkpoint: seconds between two. again: failed cells to compute once more, each with the
    stamp of the record that will be replaced; failed cells that are not named are left alone.
    """

    store: Path
    cache: Path
    device: str
    plugins: tuple[Path, ...] = ()
    root: Path | None = None
    inputs: frozenset[str] = frozenset({"pooled"})
    skip_broken: bool = False
    threads: int | None = None
    checkpoint: float = 30.0
    tensorboard: bool = False
    again: dict[str, int] = field(default_factory=dict)

    def absolute(self) -> Setup:
        """The same for processes with another working folder."""
        return replace(
            self,
            store=self.store.resolve(),
            cache=self.cache.resolve(),
            plugins=tuple(path.resolve() for path in self.plugins),
            root=Path(self.root or "data").resolve(),
        )

    def tools(self) -> Tools:
        """Methods, backbones, data and features for this process; sets the process up for them."""
        process.use_threads(self.threads)
        process.full_precision()
        process.keep_freed_memory()
        bench = Workbench(
            registry.datasets(self.plugins).classes,
            self.root,
            self.cache,
            process.choose_device(self.device),
            self.skip_broken,
            scenarios=registry.scenarios(self.plugins),
            strategies=registry.strategies(self.plugins),
        )
        bench.inputs = self.inputs
        return Tools(registry.methods(self.plugins), bench)


@dataclass(frozen=True)
class Tools:
    """What the cells of one process share."""

    methods: Found[Method]
    bench: Workbench

    def method(self, cell: Cell) -> Method:
        """The cell's method with its settings, in its strategy."""
        cls = self.methods.get(cell.method)
        made, strategy = cls(cls.Config(**cell.settings)), self.bench.strategy(cell)
        if strategy is None:
            return made
        return strategy(strategy.Config(**cell.strategy_settings), made)


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


@dataclass
class Runner:
    """One process's work on a list of cells."""

    setup: Setup
    tools: Tools
    watcher: Watcher
    stop: Stop = field(default_factory=Stop)
    claims: Claims = field(init=False)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.claims = Claims(self.setup.store)
        self.store = Store(self.setup.store)

    def run(self, jobs: Sequence[Job]) -> None:
        """Work until every cell is settled, by this runner or by others; wait for the others,
        whose cells are taken over should they die. A cell that fails leaves its record, and the
        next one is taken.
        """
        left = list(jobs)
        while left:
            waiting = []
            for job in left:
                self.stop.leave_if_asked()
                if settled(self.store, self.setup, job.id):
                    tidy(self.claims, job.id)
                elif not self.attempt(job):
                    waiting.append(job)
                    continue
                self.watcher.ended(job)
            left = waiting
            if left:
                time.sleep(POLL)

    def attempt(self, job: Job) -> bool:
        """Compute a cell; False if it is another runner's."""
        held = take(self.claims, job.id)
        if held is None:
            return False
        try:
            if settled(self.store, self.setup, job.id):  # since it was looked at
                return True
            return self._compute(job, held)
        finally:
            held.give_back()

    def _compute(self, job: Job, held: Held) -> bool:
        self.watcher.began(job)
        setup = self.setup
        journal = Journal(
            setup.store,
            job.id,
            held,
            self.stop,
            setup.checkpoint,
            setup.tensorboard,
            self.tools.bench.scenario(job.cell).headline,
        )

        def on_round(done: int, rounds: int, row: dict[str, float]) -> None:
            self.watcher.round(job, done, rounds, row)

        on_encoded = partial(self.watcher.encoded, job)
        try:
            method = self.tools.method(job.cell)
            outcome = run_cell(job.cell, self.tools.bench, method, on_round, journal, on_encoded)
            if held.lost():
                return False
        except ClaimLost:
            return False
        finally:
            journal.close()
        keep(self.store, outcome)
        journal.discard()
        return True


def tidy(claims: Claims, cell_id: str) -> None:
    """Remove what a runner left that was killed between the record and the end of its work."""
    places = (claims.root / FOLDER / cell_id, claims.root / WORK / cell_id)
    if not any(place.exists() for place in places):
        return
    held = take(claims, cell_id)
    if held is not None:
        shutil.rmtree(places[1], ignore_errors=True)
        held.give_back()


_kept: dict[str, Tools] = {}


def kept_tools(setup: Setup) -> Tools:
    """The tools of a process that computes one cell after another: loaded for the first one."""
    key = repr(setup)
    if key not in _kept:
        _kept[key] = setup.tools()
    return _kept[key]


def settled(store: Store, setup: Setup, cell_id: str) -> bool:
    """Whether nothing is to be done for a cell: done, or failed and not to be tried again."""
    status = store.status(cell_id)
    if status in ("failed", "diverged"):
        return store.stamp(cell_id) != setup.again.get(cell_id)
    return status == "done"


def take(claims: Claims, cell_id: str) -> Held | None:
    """A cell, unless another runner has it; UserError where claims cannot be written."""
    try:
        return claims.take(cell_id)
    except OSError as error:
        raise UserError(
            f"cannot write to {claims.root / FOLDER}: {error.strerror or error}; make room or "
            "choose another --out and run again, finished cells are kept"
        ) from error


def keep(store: Store, outcome: Outcome) -> None:
    """Write a cell's record."""
    store.write(outcome.record, outcome.history, outcome.tensors, outcome.log)

"""One runner: take a cell that nobody has, compute it, keep it, take the next.

Every executor runs this, in one process or in many on many machines; they meet in the store and
nowhere else.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from fplbench.data.progress import Progress
from fplbench.engine.chunks import Chunk, plan_chunk
from fplbench.engine.evaluate import Accuracies
from fplbench.engine.federation import Federation
from fplbench.engine.fit import OnRound, RoundLog, fit, setup_of
from fplbench.engine.predictions import Predictions
from fplbench.errors import UserError
from fplbench.features.images import Images
from fplbench.features.stock import Workbench
from fplbench.grid.claims import FOLDER, Claims, Held
from fplbench.grid.jobs import Job, Watcher
from fplbench.grid.journal import ClaimLost, Journal
from fplbench.grid.recording import Outcome, failed, recorded
from fplbench.grid.stop import Stop
from fplbench.grid.tally import Tally
from fplbench.grid.validation import on_validation
from fplbench.machine import hardware, process
from fplbench.machine.place import Place
from fplbench.method import Method
from fplbench.records.checkpoint import State
from fplbench.records.store import WORK, Store
from fplbench.scenario import Clients
from fplbench.spec import Cell
from fplbench.split.options import clients_of

POLL = 2.0
"""Seconds between two looks at cells that run elsewhere."""
TESTED = "accuracy."
"""How the names of accuracies begin in a checkpoint."""

# Called with the rounds done, their number, and the last one's row of the history.
Told = Callable[[int, int, dict[str, float]], None]


@dataclass
class Runner:
    """One process's work on a list of cells."""

    place: Place
    bench: Workbench
    watcher: Watcher
    stop: Stop = field(default_factory=Stop)
    claims: Claims = field(init=False)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.claims = Claims(self.place.store)
        self.store = Store(self.place.store)

    def run(self, jobs: Sequence[Job], once: bool = False) -> None:
        """Work until every cell is settled, by this runner or by others. A cell that fails leaves
        its record, and the next one is taken. once: leave to others what they have."""
        with closing(self._taken(jobs, once)) as taken:
            for job, held in taken:
                self.watcher.began(job)
                journal = self._journal(job, held)
                try:
                    outcome = run_cell(
                        job.cell,
                        self.bench,
                        journal,
                        partial(self.watcher.round, job),
                        partial(self.watcher.encoded, job),
                    )
                except ClaimLost:
                    continue
                finally:
                    journal.close()
                if not held.lost():
                    outcome.keep(self.store)
                    journal.discard()

    def _taken(self, jobs: Sequence[Job], once: bool) -> Generator[tuple[Job, Held], None, None]:
        """One cell after the other that is to be computed and this runner's. Others' cells are
        waited for, and taken over should their runners die."""
        left = list(jobs)
        while left:
            waiting = []
            for job in left:
                self.stop.leave_if_asked()
                if job.settled(self.store):
                    tidy(self.claims, job.id)
                elif not (yield from self._attempt(job)):
                    waiting.append(job)
                    continue
                self.watcher.ended(job)
            left = [] if once else waiting
            if left:
                time.sleep(POLL)

    def _attempt(self, job: Job) -> Generator[tuple[Job, Held], None, bool]:
        """Hold a cell while it is computed; False if it is another runner's, or became one's."""
        held = take(self.claims, job.id)
        if held is None:
            return False
        try:
            if not job.settled(self.store):  # since it was looked at
                yield job, held
            return job.settled(self.store)
        finally:
            held.give_back()

    def _journal(self, job: Job, held: Held) -> Journal:
        return Journal(
            self.place.store,
            job.id,
            held,
            self.stop,
            self.place.checkpoint,
            self.place.tensorboard,
            self.bench.scenario(job.cell).headline,
        )


def run_cell(
    cell: Cell,
    bench: Workbench,
    journal: Journal,
    told: Told | None = None,
    on_encoded: Progress | None = None,
) -> Outcome:
    """Run a cell to its end. A divergence or an error of ours is in the record, not raised.

    journal: where its log and checkpoints go, and where a checkpoint to go on from may be.
    told: called after each round. on_encoded: called with images done and to do while the image
    tower works.
    A UserError is raised: it concerns the request, not this cell. ClaimLost and Stopped leave
    the cell to a later runner.
    """
    hardware.reset_peak(bench.device)
    tally, method = Tally(bench.device, bench.measures()), bench.method(cell)
    if (start := process.start_seconds()) is not None:
        tally.times["start"] = start
    federation = chunk = failure = predictions = None
    try:
        federation, test = _federation(cell, bench, method, tally, journal, on_encoded)
        method = federation.method
        if bench.place.keep_predictions:
            predictions = Predictions(test.labels, federation.newcomers)
        with process.matrix_products(cell.training.precision), journal.patient():
            chunk = plan_chunk(federation, cell.training)
            done = _resume(journal, federation, chunk, tally)
            on_round = _after_rounds(cell, federation, chunk, tally, journal, told)
            tally.begin_round()
            rounds = (test, chunk, on_round, done, tally.accuracies)
            fit(federation, cell.training, *rounds, tally.measures, predictions)
    except (UserError, ClaimLost):
        raise
    except Exception as error:
        failure = failed(error, cell.training.lr)
        journal.log.note(f"{failure.kind}: {failure.message}")
    log = journal.log.text()
    return recorded(cell, bench, method, tally, federation, chunk, failure, log, predictions)


def _federation(
    cell: Cell,
    bench: Workbench,
    method: Method,
    tally: Tally,
    journal: Journal,
    on_encoded: Progress | None,
) -> tuple[Federation, Images]:
    """The clients and server of a cell before its first round, and the images to test on."""
    data = bench.data(cell.dataset)
    with tally.phase("features"):
        views = cell.training.views
        train = bench.images(cell.backbone, cell.dataset, "train", method.inputs, views, on_encoded)
        test = bench.images(cell.backbone, cell.dataset, "test", method.inputs, progress=on_encoded)
    if cell.training.evaluate_on == "validation":
        data, train, test = on_validation(data, train, cell.seed)
    clients = clients_of(bench.scenario(cell), data, cell.seed)
    made = federation_of(cell, bench, method, clients, train, cell.seed, journal.folder)
    return made, test


def federation_of(
    cell: Cell,
    bench: Workbench,
    method: Method,
    clients: Clients,
    train: Images,
    seed: int,
    folder: Path | None = None,
) -> Federation:
    """Before the first round of a cell; its method knows the run. seed: of all draws. folder: for
    what many clients keep."""
    sizes = [len(rows) for rows in clients.train_rows]
    method = method.set_up(setup_of(seed, sizes, cell.training))
    task_for = bench.task_for(cell.backbone, cell.dataset, cell.training.precision)
    told = cell.training
    who = (told.nudge, told.new_clients, told.evaluated_clients)
    return Federation(method, task_for, clients, train, seed, bench.device, *who, folder)


def _after_rounds(
    cell: Cell,
    federation: Federation,
    chunk: Chunk,
    tally: Tally,
    journal: Journal,
    told: Told | None,
) -> OnRound:
    """What happens after each round: it is counted, written down and perhaps saved."""
    rounds = cell.training.rounds

    def ended(index: int, log: RoundLog | None, accuracies: Accuracies | None) -> None:
        row = tally.end_round(index, log, accuracies)
        journal.round(row, rounds)
        journal.between_rounds(
            lambda: _state(federation, chunk, tally), index == rounds, federation.saved
        )
        if told is not None:
            told(index, rounds, row)
        tally.begin_round()

    return ended


def _state(federation: Federation, chunk: Chunk, tally: Tally) -> State:
    """All that is known of a cell between two rounds."""
    found = {f"{TESTED}{name}": torch.from_numpy(a) for name, a in tally.accuracies.items()}
    facts = tally.facts() | {"chunk": [chunk.clients, chunk.planned]}
    return State(federation.state_dict() | found, facts)


def _resume(journal: Journal, federation: Federation, chunk: Chunk, tally: Tally) -> int:
    """Put a cell where its checkpoint was, if it has one; the number of rounds done."""
    saved = journal.resume()
    if saved is None:
        return 0
    try:
        federation.load_state_dict(saved.tensors)
    except ValueError as error:
        journal.begin_anew(str(error))
        return 0
    chunk.clients, chunk.planned = saved.facts["chunk"]
    accuracies = {
        name.removeprefix(TESTED): t.numpy()
        for name, t in saved.tensors.items()
        if name.startswith(TESTED)
    }
    return tally.restore(saved.facts, accuracies)


def tidy(claims: Claims, cell_id: str) -> None:
    """Remove what a runner left that was killed between the record and the end of its work."""
    places = (claims.root / FOLDER / cell_id, claims.root / WORK / cell_id)
    if not any(place.exists() for place in places):
        return
    held = take(claims, cell_id)
    if held is not None:
        shutil.rmtree(places[1], ignore_errors=True)
        held.give_back()


_kept: dict[str, Workbench] = {}


def kept_bench(place: Place) -> Workbench:
    """The bench of a process that computes one cell after another: made for the first one, and
    the process set up for it."""
    key = repr(place)
    if key not in _kept:
        process.set_up(place.threads)
        _kept[key] = Workbench(place)
    return _kept[key]


def take(claims: Claims, cell_id: str) -> Held | None:
    """A cell, unless another runner has it; UserError where claims cannot be written."""
    try:
        return claims.take(cell_id)
    except OSError as error:
        raise UserError(
            f"cannot write to {claims.root / FOLDER}: {error.strerror or error}; make room or "
            "choose another --out and run again, finished cells are kept"
        ) from error

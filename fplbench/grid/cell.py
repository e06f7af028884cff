"""One cell from its spec to its record."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from pydantic import JsonValue
from torch import Tensor

from fplbench import metrics
from fplbench.data.progress import Progress
from fplbench.engine.chunks import Chunk, plan_chunk
from fplbench.engine.evaluate import Accuracies, not_applicable
from fplbench.engine.federation import Federation
from fplbench.engine.fit import fit
from fplbench.engine.rounds import RoundLog
from fplbench.errors import Diverged, UserError
from fplbench.features.images import Images
from fplbench.features.stock import Workbench
from fplbench.grid.defaults import changed
from fplbench.grid.journal import ClaimLost, Journal
from fplbench.grid.tally import Tally
from fplbench.grid.validation import on_validation
from fplbench.machine import hardware, process
from fplbench.method import Method
from fplbench.records.checkpoint import State
from fplbench.records.record import Failure, Metric, Record, Status
from fplbench.records.words import said
from fplbench.spec import PROTOCOL, Cell, Training
from fplbench.strategy import learner_of

# Called with the rounds done, their number, and the last one's row of the history.
OnRound = Callable[[int, int, dict[str, float]], None]

LATE = 5
"""The rounds behind `last5`, which is less of a draw than the last round where rounds differ."""
TESTED = "accuracy."
"""How the names of accuracies begin in a checkpoint."""


@dataclass
class Outcome:
    """What a cell leaves behind: its record, a row a round, the tensors it ended with, its log."""

    record: Record
    history: pd.DataFrame
    tensors: dict[str, Tensor]
    log: str = ""


def run_cell(
    cell: Cell,
    bench: Workbench,
    method: Method,
    on_round: OnRound,
    journal: Journal,
    on_encoded: Progress | None = None,
) -> Outcome:
    """Run a cell to its end. A divergence or an error of ours is in the record, not raised.

    journal: where its log and checkpoints go, and where a checkpoint to go on from may be.
    on_encoded: called with images done and to do while the image tower works.
    A UserError is raised: it concerns the request, not this cell. ClaimLost and Stopped leave
    the cell to a later runner.
    """
    hardware.reset_peak(bench.device)
    tally = Tally(bench.device)
    federation = chunk = failure = None
    try:
        federation, test = _federation(cell, bench, method, tally, on_encoded)
        with process.matrix_products(cell.training.precision):
            chunk = plan_chunk(federation, cell.training)
            _fit(cell.training, federation, test, chunk, tally, journal, on_round)
    except (UserError, ClaimLost):
        raise
    except Exception as error:
        failure = _failure(error, cell.training.lr)
        journal.log.note(f"{failure.kind}: {failure.message}")
    record = _record(cell, bench, method, tally, chunk, failure)
    if federation is None:
        return Outcome(record, pd.DataFrame(tally.rows), {}, journal.log.text())
    record = record.model_copy(update=_about(federation, bench.data(cell.dataset).classnames))
    if failure is None:
        record.metrics = _metrics(tally.accuracies, federation, tally.rows)
    names = (*record.metrics, *record.not_applicable)
    record = record.model_copy(update=said(bench.scenario(cell), names))
    tensors = {name: t for name, t in federation.state_dict().items() if name != "times"}
    return Outcome(record, pd.DataFrame(tally.rows), tensors, journal.log.text())


def killed(cell: Cell, bench: Workbench, method: Method, message: str) -> Outcome:
    """The record of a cell whose process did not live to write one."""
    failure = Failure(kind="killed", message=message)
    record = _record(cell, bench, method, Tally(bench.device), None, failure)
    return Outcome(record, pd.DataFrame(), {})


def _federation(
    cell: Cell, bench: Workbench, method: Method, tally: Tally, on_encoded: Progress | None
) -> tuple[Federation, Images]:
    """The clients and server of a cell before its first round, and the images to test on."""
    data = bench.data(cell.dataset)
    with tally.phase("features"):
        views = cell.training.views
        train = bench.images(cell.backbone, cell.dataset, "train", method.inputs, views, on_encoded)
        test = bench.images(cell.backbone, cell.dataset, "test", method.inputs, progress=on_encoded)
    if cell.training.evaluate_on == "validation":
        data, train, test = on_validation(data, train, cell.seed)
    clients = bench.scenario(cell).build(data, cell.seed)
    task_for = bench.task_for(cell.backbone, cell.dataset, cell.training.precision)
    nudge = cell.training.nudge
    return Federation(method, task_for, clients, train, cell.seed, bench.device, nudge), test


def _fit(
    training: Training,
    federation: Federation,
    test: Images,
    chunk: Chunk,
    tally: Tally,
    journal: Journal,
    on_round: OnRound,
) -> None:
    """The rounds that a checkpoint does not have, each counted, written down and perhaps saved."""
    saved = journal.resume()
    done = 0 if saved is None else _restore(saved, federation, chunk, tally)

    def ended(index: int, log: RoundLog | None, accuracies: Accuracies | None) -> None:
        row = tally.end_round(index, log, accuracies)
        journal.round(row, training.rounds)
        journal.between_rounds(
            lambda: _state(federation, chunk, tally), last=index == training.rounds
        )
        on_round(index, training.rounds, row)
        tally.begin_round()

    with journal.patient():
        tally.begin_round()
        fit(federation, training, test, chunk, ended, done, tally.accuracies)


def _state(federation: Federation, chunk: Chunk, tally: Tally) -> State:
    """All that is known of a cell between two rounds."""
    found = {f"{TESTED}{name}": torch.from_numpy(a) for name, a in tally.accuracies.items()}
    facts = tally.facts() | {"chunk": [chunk.clients, chunk.planned]}
    return State(federation.state_dict() | found, facts)


def _restore(saved: State, federation: Federation, chunk: Chunk, tally: Tally) -> int:
    """Put a cell where its checkpoint was; the number of rounds done."""
    federation.load_state_dict(saved.tensors)
    chunk.clients, chunk.planned = saved.facts["chunk"]
    accuracies = {
        name.removeprefix(TESTED): t.numpy()
        for name, t in saved.tensors.items()
        if name.startswith(TESTED)
    }
    return tally.restore(saved.facts, accuracies)


def _failure(error: Exception, lr: float) -> Failure:
    """Why a cell ends, from the error that is being handled."""
    if isinstance(error, Diverged):
        return Failure(
            kind="diverged",
            message=f"{error}: lower the learning rate (lr is {lr:g}).",
            round=error.round_index,
            client=error.client,
        )
    return Failure(kind=type(error).__name__, message=str(error), traceback=traceback.format_exc())


def _record(
    cell: Cell,
    bench: Workbench,
    method: Method,
    tally: Tally,
    chunk: Chunk | None,
    failure: Failure | None,
) -> Record:
    """A record but for what only a federation knows."""
    status: Status = "done"
    if failure is not None:
        status = "diverged" if failure.kind == "diverged" else "failed"
    learner = learner_of(method)
    identity = bench.identity(cell, type(learner))
    scenario = bench.scenario(cell)
    return Record(
        id=cell.id(identity),
        status=status,
        method=cell.method,
        title=learner.title,
        dataset=cell.dataset,
        scenario=cell.scenario,
        backbone=cell.backbone,
        seed=cell.seed,
        settings=cell.settings,
        strategy=cell.strategy,
        strategy_settings=cell.strategy_settings,
        scenario_settings=cell.scenario_settings,
        training=cell.training.model_dump(mode="json"),
        changed=changed(cell, type(learner), type(scenario), bench.strategy(cell)),
        identity=identity,
        code=bench.code(cell, type(learner)),
        protocol=PROTOCOL,
        versions=hardware.versions(),
        hardware=hardware.hardware(bench.device) | _about_chunk(chunk) | _about_places(tally),
        notes=[*bench.data(cell.dataset).notes, *bench.backbone(cell.backbone).notes],
        error=failure,
        **tally.about(),
        **said(scenario, ()),
    )


def _about_chunk(chunk: Chunk | None) -> dict[str, JsonValue]:
    """How many clients were computed together, the bytes of one's local step, and whether memory
    was short."""
    if chunk is None:
        return {}
    about: dict[str, JsonValue] = {"clients_at_once": chunk.clients}
    if chunk.step_bytes:
        about["step_bytes_client"] = chunk.step_bytes
    if chunk.clients == chunk.planned:
        return about
    return about | {
        "memory_was_short": f"{chunk.planned} clients at once did not fit: the results agree with "
        f"those of other machines to rounding",
    }


def _about_places(tally: Tally) -> dict[str, JsonValue]:
    """Where the rounds before an interruption ran, if that voids the promise of the same bits."""
    return {"also_ran_on": tally.elsewhere} if tally.elsewhere else {}


def _about(federation: Federation, classnames: Sequence[str]) -> dict[str, JsonValue]:
    """What a record says of the clients."""
    missing = not_applicable(federation)
    scenario = federation.scenario
    return {
        "not_applicable": dict(missing | metrics.not_derivable(missing)),
        "clients": list(scenario.client_names),
        "train_sizes": federation.sizes.tolist(),
        "label_counts": [
            {
                classnames[label]: int(count)
                for label, count in zip(*np.unique(labels, return_counts=True), strict=True)
            }
            for labels in (federation.images.labels[rows] for rows in scenario.train_rows)
        ],
        "never_sampled": int((federation.times == 0).sum()) if federation.trained else 0,
        "trainable_parameters": sum(
            federation.specs[name].value.numel() for name in federation.trained
        ),
    }


def _metrics(
    accuracies: Accuracies, federation: Federation, rows: Sequence[Mapping[str, float]]
) -> dict[str, Metric]:
    """Summaries, with each client's own number but for metrics of the shared prompt alone."""
    alone = {name for exam in federation.scenario.shared_exams for name in exam.questions}
    found = {}
    for name, summary in metrics.summarise(accuracies).items():
        each = accuracies.get(name)
        per_client = None if each is None or name in alone else _numbers(each)
        found[name] = Metric(
            mean=summary.mean,
            std=summary.std,
            worst=summary.worst,
            count=summary.count,
            last5=_last5(name, rows),
            per_client=per_client,
        )
    return found


def _last5(metric: str, rows: Sequence[Mapping[str, float]]) -> float | None:
    """Its mean over the last five rounds, None where there are fewer or one was not evaluated."""
    found = [row[metric] for row in rows[-LATE:] if metric in row]
    return sum(found) / LATE if len(found) == LATE else None


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]

"""One cell from its spec to its record."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import torch
from pydantic import JsonValue
from torch import Tensor

from fplbench import environment, metrics
from fplbench.engine.chunks import Chunk, plan_chunk
from fplbench.engine.evaluate import Accuracies, evaluate, not_applicable
from fplbench.engine.federation import Federation, Images
from fplbench.engine.rounds import RoundLog, run_round
from fplbench.errors import Diverged, UserError
from fplbench.features.stock import Workbench
from fplbench.grid.defaults import changed
from fplbench.grid.journal import ClaimLost, Journal
from fplbench.grid.validation import on_validation
from fplbench.method import Method
from fplbench.records.checkpoint import State
from fplbench.records.record import Failure, Metric, Record, Status, Traffic
from fplbench.scenarios import SCENARIOS
from fplbench.spec import PROTOCOL, Cell

# Called with the rounds done, their number, and the last one's row of the history.
OnRound = Callable[[int, int, dict[str, float]], None]

LATE = 5
"""The rounds behind `last5`, which is less of a draw than the last round where rounds differ."""


@dataclass
class Outcome:
    """What a cell leaves behind: its record, a row a round, the tensors it ended with, its log."""

    record: Record
    history: pd.DataFrame
    tensors: dict[str, Tensor]
    log: str = ""


@dataclass
class _Run:
    """What is known of a cell so far; a record can be made of it at any time.

    before: seconds spent before an interruption. elsewhere: where the rounds before it ran, if
    not on what the rest did.
    """

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.perf_counter)
    before: float = 0.0
    peak: int = 0
    elsewhere: list[JsonValue] = field(default_factory=list)
    rows: list[dict[str, float]] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    accuracies: Accuracies = field(default_factory=dict)
    federation: Federation | None = None
    chunk: Chunk | None = None


def run_cell(
    cell: Cell,
    bench: Workbench,
    method: Method,
    on_round: OnRound,
    journal: Journal | None = None,
) -> Outcome:
    """Run a cell to its end. A divergence or an error of ours is in the record, not raised.

    journal: where its log and checkpoints go, and where a checkpoint to go on from may be.
    A UserError is raised: it concerns the request, not this cell. ClaimLost and Stopped leave
    the cell to a later runner.
    """
    run = _Run()
    environment.reset_peak(bench.device)
    failure = None
    try:
        _run(cell, bench, method, run, on_round, journal)
    except (UserError, ClaimLost):
        raise
    except Diverged as error:
        failure = Failure(
            kind="diverged",
            message=f"{error}: lower the learning rate (lr is {cell.training.lr:g}).",
            round=error.round_index,
            client=error.client,
        )
    except Exception as error:
        failure = Failure(
            kind=type(error).__name__, message=str(error), traceback=traceback.format_exc()
        )
    if journal is not None and failure is not None:
        journal.note(f"{failure.kind}: {failure.message}")
    outcome = _outcome(cell, bench, method, run, failure)
    return outcome if journal is None else replace(outcome, log=journal.text())


def killed(cell: Cell, bench: Workbench, method: Method, message: str) -> Outcome:
    """The record of a cell whose process did not live to write one."""
    return _outcome(cell, bench, method, _Run(), Failure(kind="killed", message=message))


def _run(
    cell: Cell,
    bench: Workbench,
    method: Method,
    run: _Run,
    on_round: OnRound,
    journal: Journal | None,
) -> None:
    clock = _Clock(run.times, bench.device)
    data = bench.data(cell.dataset)
    with clock("features"):
        views = cell.training.views
        train = bench.images(cell.backbone, cell.dataset, "train", method.inputs, views)
        test = bench.images(cell.backbone, cell.dataset, "test", method.inputs)
    if cell.training.evaluate_on == "validation":
        data, train, test = on_validation(data, train, cell.seed)
    kind = SCENARIOS[cell.scenario]
    scenario = kind.build(data, kind.Settings(**cell.scenario_settings), cell.seed)
    run.federation = federation = Federation(
        method,
        bench.task_for(cell.backbone, cell.dataset, cell.training.precision),
        scenario,
        train,
        cell.seed,
        bench.device,
    )
    with environment.matrix_products(cell.training.precision):
        _rounds(cell, federation, test, run, clock, on_round, journal)


def _rounds(
    cell: Cell,
    federation: Federation,
    test: Images,
    run: _Run,
    clock: _Clock,
    on_round: OnRound,
    journal: Journal | None,
) -> None:
    training = cell.training
    chunk = run.chunk = plan_chunk(federation, training)
    evaluated = training.evaluated_rounds()
    saved = None if journal is None else journal.resume()
    first = 1 if saved is None else _restore(run, saved) + 1
    with contextlib.nullcontext() if journal is None else journal.patient():
        for index in range(first, training.rounds + 1):
            log = None
            if federation.trained:
                with clock("train"):
                    log = run_round(federation, training, index, chunk)
                _count(run, log)
            if index in evaluated and (federation.trained or not run.accuracies):
                with clock("evaluate"):
                    run.accuracies = evaluate(federation, test, index, chunk)
            row = _history_row(index, log)
            if index in evaluated:
                row |= {name: s.mean for name, s in metrics.summarise(run.accuracies).items()}
            run.rows.append(row)
            if journal is not None:
                journal.round(row, training.rounds)
                journal.between_rounds(lambda: _state(run), last=index == training.rounds)
            on_round(index, training.rounds, row)


def _state(run: _Run) -> State:
    """All that is known of a cell between two rounds."""
    federation, chunk = run.federation, run.chunk
    if federation is None or chunk is None:
        raise RuntimeError("a cell without clients has no state")
    groups: dict[str, Mapping[str, Tensor]] = {
        "server": federation.server,
        "private": federation.private,
        "accuracy": {name: torch.from_numpy(each) for name, each in run.accuracies.items()},
        "times": {"": federation.times},
    }
    facts = {
        "round": len(run.rows),
        "rows": run.rows,
        "times": run.times,
        "traffic": run.traffic.model_dump(),
        "chunk": [chunk.clients, chunk.planned],
        "started": run.started.isoformat(),
        "spent": run.before + time.perf_counter() - run.clock,
        "peak": max(run.peak, environment.peak_bytes(federation.device) or 0),
        "elsewhere": run.elsewhere,
        "here": _here(federation.device),
    }
    tensors = {f"{kind}.{name}": t for kind, group in groups.items() for name, t in group.items()}
    return State(tensors, facts | {"order": list(tensors)})


def _restore(run: _Run, state: State) -> int:
    """Put a cell where its checkpoint was; the number of rounds done."""
    federation, chunk, facts = run.federation, run.chunk, state.facts
    if federation is None or chunk is None:
        raise RuntimeError("a checkpoint is restored into a federation")

    def group(kind: str) -> dict[str, Tensor]:
        start = f"{kind}."
        names = [name for name in facts["order"] if name.startswith(start)]
        return {name.removeprefix(start): state.tensors[name] for name in names}

    federation.server, federation.private = group("server"), group("private")
    federation.times = group("times")[""]
    run.accuracies = {name: t.numpy() for name, t in group("accuracy").items()}
    run.rows = list(facts["rows"])
    for phase, seconds in facts["times"].items():  # in place: the clock holds this dict
        run.times[phase] = run.times.get(phase, 0.0) + seconds
    run.traffic = Traffic(**facts["traffic"])
    chunk.clients, chunk.planned = facts["chunk"]
    run.started = datetime.fromisoformat(facts["started"])
    run.before, run.peak = facts["spent"], facts["peak"]
    run.elsewhere = list(facts["elsewhere"])
    if facts["here"] != _here(federation.device):
        run.elsewhere.append({"until_round": facts["round"], **facts["here"]})
    return int(facts["round"])


def _here(device: torch.device) -> dict[str, JsonValue]:
    """What bits hang on beside the spec."""
    return environment.hardware(device) | dict[str, JsonValue](environment.versions())


def _count(run: _Run, log: RoundLog) -> None:
    before = run.traffic
    run.traffic = Traffic(
        up_bytes=before.up_bytes + log.up_bytes,
        down_bytes=before.down_bytes + log.down_bytes,
        up_bytes_client_round=log.up_bytes / len(log.clients),
        down_bytes_client_round=log.down_bytes / len(log.clients),
    )


def _history_row(index: int, log: RoundLog | None) -> dict[str, float]:
    if log is None:
        return {"round": index}
    terms = {f"loss_{name}": value for name, value in log.losses.items()}
    return {
        "round": index,
        "clients": len(log.clients),
        "loss": sum(log.losses.values()),
        **(terms if len(terms) > 1 else {}),
        "up_bytes": log.up_bytes,
        "down_bytes": log.down_bytes,
        "seconds": log.seconds,
    }


def _outcome(
    cell: Cell, bench: Workbench, method: Method, run: _Run, failure: Failure | None
) -> Outcome:
    federation = run.federation
    finished = datetime.now(UTC)
    status: Status = "done"
    if failure is not None:
        status = "diverged" if failure.kind == "diverged" else "failed"
    identity = bench.identity(cell, type(method))
    record = Record(
        id=cell.id(identity),
        status=status,
        method=cell.method,
        title=method.title,
        dataset=cell.dataset,
        scenario=cell.scenario,
        backbone=cell.backbone,
        seed=cell.seed,
        settings=cell.settings,
        scenario_settings=cell.scenario_settings,
        training=cell.training.model_dump(mode="json"),
        changed=changed(cell, type(method)),
        identity=identity,
        code=bench.code(cell, type(method)),
        protocol=PROTOCOL,
        versions=environment.versions(),
        hardware=environment.hardware(bench.device) | _about_chunk(run.chunk) | _about_places(run),
        traffic=run.traffic,
        notes=[*bench.data(cell.dataset).notes, *bench.backbone(cell.backbone).notes],
        times=run.times | {"total": run.before + time.perf_counter() - run.clock},
        round_seconds=_round_seconds(run.rows),
        peak_bytes=max(run.peak, environment.peak_bytes(bench.device) or 0) or None,
        error=failure,
        started=run.started.isoformat(timespec="seconds"),
        finished=finished.isoformat(timespec="seconds"),
    )
    if federation is None:
        return Outcome(record, pd.DataFrame(run.rows), {})
    record = record.model_copy(update=_about(federation, bench.data(cell.dataset).classnames))
    if failure is None:
        record.metrics = _metrics(run.accuracies, federation, run.rows)
    tensors = {f"server.{name}": t for name, t in federation.server.items()}
    tensors |= {f"private.{name}": t for name, t in federation.private.items()}
    return Outcome(record, pd.DataFrame(run.rows), tensors)


def _round_seconds(rows: Sequence[Mapping[str, float]]) -> list[float] | None:
    seconds = [row["seconds"] for row in rows if "seconds" in row]
    return [min(seconds), float(np.median(seconds)), max(seconds)] if seconds else None


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


def _about_places(run: _Run) -> dict[str, JsonValue]:
    """Where the rounds before an interruption ran, if that voids the promise of the same bits."""
    return {"also_ran_on": run.elsewhere} if run.elsewhere else {}


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


class _Clock:
    """Adds the seconds of each phase to a dict; waits for the device, so that phases are true."""

    def __init__(self, times: dict[str, float], device: torch.device) -> None:
        self.times = times
        self.device = device

    def __call__(self, phase: str) -> _Clock:
        self.phase = phase
        return self

    def __enter__(self) -> None:
        self.started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        spent = time.perf_counter() - self.started
        self.times[self.phase] = self.times.get(self.phase, 0.0) + spent

"""One cell from its spec to its record."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
from fplbench.grid.validation import on_validation
from fplbench.grid.workbench import Workbench
from fplbench.method import Method
from fplbench.scenarios import SCENARIOS
from fplbench.spec import Cell
from fplbench.store import Failure, Metric, Record, Status, Traffic

OnRound = Callable[[int, int], None]


@dataclass
class Outcome:
    """What a cell leaves behind: its record, a row a round, the tensors it ended with."""

    record: Record
    history: pd.DataFrame
    tensors: dict[str, Tensor]


@dataclass
class _Run:
    """What is known of a cell so far; a record can be made of it at any time."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    rows: list[dict[str, float]] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    accuracies: Accuracies = field(default_factory=dict)
    federation: Federation | None = None
    chunk: Chunk | None = None


def run_cell(cell: Cell, bench: Workbench, method: Method, on_round: OnRound) -> Outcome:
    """Run a cell to its end. A divergence or an error of ours is in the record, not raised.

    on_round is called with the rounds done and their number. A UserError is raised: it concerns
    the request, not this cell.
    """
    run = _Run()
    environment.reset_peak(bench.device)
    try:
        _run(cell, bench, method, run, on_round)
    except UserError:
        raise
    except Diverged as error:
        failure = Failure(
            kind="diverged",
            message=f"{error}: lower the learning rate (lr is {cell.training.lr:g}).",
            round=error.round_index,
            client=error.client,
        )
        return _outcome(cell, bench, method, run, failure)
    except Exception as error:
        failure = Failure(
            kind=type(error).__name__, message=str(error), traceback=traceback.format_exc()
        )
        return _outcome(cell, bench, method, run, failure)
    return _outcome(cell, bench, method, run, None)


def _run(cell: Cell, bench: Workbench, method: Method, run: _Run, on_round: OnRound) -> None:
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
        _rounds(cell, federation, test, run, clock, on_round)


def _rounds(
    cell: Cell, federation: Federation, test: Images, run: _Run, clock: _Clock, on_round: OnRound
) -> None:
    training = cell.training
    chunk = run.chunk = plan_chunk(federation, training)
    evaluated = training.evaluated_rounds()
    for index in range(1, training.rounds + 1):
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
        on_round(index, training.rounds)


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
        identity=identity,
        versions=environment.versions(),
        hardware=environment.hardware(bench.device) | _about_chunk(run.chunk),
        traffic=run.traffic,
        notes=[*bench.data(cell.dataset).notes, *bench.backbone(cell.backbone).notes],
        times=run.times | {"total": (finished - run.started).total_seconds()},
        peak_bytes=environment.peak_bytes(bench.device),
        error=failure,
        started=run.started.isoformat(timespec="seconds"),
        finished=finished.isoformat(timespec="seconds"),
    )
    if federation is None:
        return Outcome(record, pd.DataFrame(run.rows), {})
    record = record.model_copy(update=_about(federation, bench.data(cell.dataset).classnames))
    if failure is None:
        record.metrics = _metrics(run.accuracies, federation)
    tensors = {f"server.{name}": t for name, t in federation.server.items()}
    tensors |= {f"private.{name}": t for name, t in federation.private.items()}
    return Outcome(record, pd.DataFrame(run.rows), tensors)


def _about_chunk(chunk: Chunk | None) -> dict[str, JsonValue]:
    """How many clients were computed together, and whether memory was short."""
    if chunk is None:
        return {}
    if chunk.clients == chunk.planned:
        return {"clients_at_once": chunk.clients}
    return {
        "clients_at_once": chunk.clients,
        "memory_was_short": f"{chunk.planned} clients at once did not fit: the results agree with "
        f"those of other machines to rounding",
    }


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


def _metrics(accuracies: Accuracies, federation: Federation) -> dict[str, Metric]:
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
            per_client=per_client,
        )
    return found


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

"""A cell's record, from what was counted while it ran."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import JsonValue
from torch import Tensor

from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import Accuracies, not_applicable
from fplbench.engine.federation import Federation
from fplbench.engine.predictions import Predictions
from fplbench.errors import Diverged
from fplbench.features.stock import Workbench
from fplbench.grid.defaults import changed
from fplbench.grid.tally import Tally
from fplbench.machine import hardware
from fplbench.method import Method
from fplbench.plugins.measure import DEFAULT, Measure, metric
from fplbench.records import predictions as kept
from fplbench.records import summary
from fplbench.records.record import Failure, Metric, Record, Status
from fplbench.records.store import Store
from fplbench.records.words import said, scale
from fplbench.spec import PROTOCOL, Cell
from fplbench.strategy import Strategy, learner_of

LATE = 5
"""The rounds behind `last5`, which is less of a draw than the last round where rounds differ."""


@dataclass
class Outcome:
    """What a cell leaves behind: its record, a row a round, the tensors it ended with, its log, and
    the file of its predictions where they were asked for."""

    record: Record
    history: pd.DataFrame
    tensors: dict[str, Tensor]
    log: str = ""
    predictions: bytes = b""

    def keep(self, store: Store) -> None:
        """Write the cell's folder, whole or not at all."""
        store.write(self.record, self.history, self.tensors, self.log, self.predictions)


def recorded(
    cell: Cell,
    bench: Workbench,
    method: Method,
    tally: Tally,
    federation: Federation | None,
    chunk: Chunk | None,
    failure: Failure | None,
    log: str,
    predictions: Predictions | None = None,
) -> Outcome:
    """What a cell leaves that came to its end, or to a failure; its federation, chunk and
    predictions where it came so far."""
    record = _record(cell, bench, method, tally, chunk, failure)
    if federation is None:
        return Outcome(record, pd.DataFrame(tally.rows), {}, log)
    classnames, answers = bench.data(cell.dataset).classnames, b""
    record = record.model_copy(update=_about(federation, classnames))
    if failure is None:
        found = _metrics(tally.accuracies, federation, tally.rows, tally.measures)
        record.metrics = found.pop(DEFAULT)
        record.measured = found
        record.measures = {m.name: scale(type(m)) for m in tally.measures if m.name in found}
        answers = b"" if predictions is None else kept.content(predictions.all(), classnames)
    if isinstance(federation.method, Strategy):
        record.facts = federation.method.facts()
    names = (*record.metrics, *record.not_applicable)
    record = record.model_copy(update=said(bench.scenario(cell), names))
    return Outcome(record, pd.DataFrame(tally.rows), federation.tensors(), log, answers)


def killed(cell: Cell, bench: Workbench, message: str) -> Outcome:
    """The record of a cell whose process did not live to write one."""
    failure = Failure(kind="killed", message=message)
    record = _record(cell, bench, bench.method(cell), Tally(bench.device, ()), None, failure)
    return Outcome(record, pd.DataFrame(), {})


def failed(error: Exception, lr: float) -> Failure:
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
        "not_applicable": dict(missing | summary.not_derivable(missing)),
        "clients": list(scenario.client_names),
        "train_sizes": federation.sizes.tolist(),
        "label_counts": [
            {
                classnames[label]: int(count)
                for label, count in zip(*np.unique(labels, return_counts=True), strict=True)
            }
            for labels in (federation.images.labels[rows] for rows in scenario.train_rows)
        ],
        "never_sampled": (
            int((federation.times[federation.taking_part] == 0).sum()) if federation.trained else 0
        ),
        "trainable_parameters": sum(
            federation.specs[name].value.numel() for name in federation.trained
        ),
    }


def _metrics(
    accuracies: Accuracies,
    federation: Federation,
    rows: Sequence[Mapping[str, float]],
    measures: Sequence[Measure],
) -> dict[str, dict[str, Metric]]:
    """Measure -> question -> its summary, with each client's own number where there is one."""
    alone = {name for exam in federation.scenario.shared_exams for name in exam.questions}
    without = {measure.name: alone for measure in measures}
    without |= {measure.name: {*accuracies} for measure in measures if measure.across}
    return {
        measure: {
            question: Metric(
                mean=one.mean,
                std=one.std,
                worst=one.worst,
                count=one.count,
                last5=_last5(metric(question, measure), rows),
                per_client=(
                    None
                    if question in without[measure]
                    else _numbers(accuracies.get(metric(question, measure)))
                ),
            )
            for question, one in questions.items()
        }
        for measure, questions in summary.by_measure(accuracies, measures).items()
    }


def _last5(metric: str, rows: Sequence[Mapping[str, float]]) -> float | None:
    """Its mean over the last five rounds, None where there are fewer or one was not evaluated."""
    found = [row[metric] for row in rows[-LATE:] if metric in row]
    return sum(found) / LATE if len(found) == LATE else None


def _numbers(values: np.ndarray | None) -> list[float | None] | None:
    return (
        None if values is None else [None if np.isnan(value) else float(value) for value in values]
    )

"""What is counted while a cell runs: for its history, its checkpoints and its record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue

from fplbench.engine.evaluate import Accuracies
from fplbench.engine.fit import RoundLog
from fplbench.machine import hardware
from fplbench.plugins.measure import Measure
from fplbench.records import summary
from fplbench.records.record import Traffic


@dataclass
class Tally:
    """measures: of the answers in a test. rows: of the history. times: seconds of each phase.
    accuracies: of the last test.

    before: seconds spent before an interruption. elsewhere: where the rounds before it ran, if
    not on what the rest did.
    """

    device: torch.device
    measures: Sequence[Measure]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    before: float = 0.0
    peak: int = 0
    elsewhere: list[JsonValue] = field(default_factory=list)
    rows: list[dict[str, float]] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    accuracies: Accuracies = field(default_factory=dict)
    _began: float = field(default_factory=time.perf_counter)
    _since: float = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the seconds that this takes."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._spend(name, time.perf_counter() - began)

    def begin_round(self) -> None:
        """From now on time is the next round's."""
        self._since = time.perf_counter()

    def end_round(
        self, index: int, log: RoundLog | None, accuracies: Accuracies | None
    ) -> dict[str, float]:
        """Count a round, told as `fit` tells it; its row of the history."""
        spent = time.perf_counter() - self._since
        if log is not None:
            self._spend("train", log.seconds)
            self._count(log)
        row = _history_row(index, log)
        if accuracies is not None:
            self._spend("evaluate", spent - (0.0 if log is None else log.seconds))
            self.accuracies = accuracies
            found = summary.summarise(accuracies, self.measures)
            row |= {name: one.mean for name, one in found.items()}
        self.rows.append(row)
        return row

    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps of this, as JSON; the accuracies are kept as tensors."""
        return {
            "round": len(self.rows),
            "rows": self.rows,
            "times": self.times,
            "traffic": self.traffic.model_dump(),
            "started": self.started.isoformat(),
            "spent": self._spent(),
            "peak": self._peak_bytes(),
            "elsewhere": self.elsewhere,
            "here": _here(self.device),
        }

    def restore(self, facts: Mapping[str, Any], accuracies: Accuracies) -> int:
        """Count on from a checkpoint; the number of rounds done."""
        self.accuracies = accuracies
        self.rows = list(facts["rows"])
        for phase, seconds in facts["times"].items():
            self._spend(phase, seconds)
        self.traffic = Traffic(**facts["traffic"])
        self.started = datetime.fromisoformat(facts["started"])
        self.before, self.peak = facts["spent"], facts["peak"]
        self.elsewhere = list(facts["elsewhere"])
        if facts["here"] != _here(self.device):
            self.elsewhere.append({"until_round": facts["round"], **facts["here"]})
        return int(facts["round"])

    def about(self) -> dict[str, Any]:
        """The fields of a Record that tell of time, memory and traffic."""
        return {
            "traffic": self.traffic,
            "times": self.times | {"total": self._spent()},
            "round_seconds": _round_seconds(self.rows),
            "peak_bytes": self._peak_bytes() or None,
            "started": self.started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _spent(self) -> float:
        return self.before + time.perf_counter() - self._began

    def _peak_bytes(self) -> int:
        return max(self.peak, hardware.peak_bytes(self.device) or 0)

    def _spend(self, phase: str, seconds: float) -> None:
        self.times[phase] = self.times.get(phase, 0.0) + seconds

    def _count(self, log: RoundLog) -> None:
        before = self.traffic
        self.traffic = Traffic(
            up_bytes=before.up_bytes + log.up_bytes,
            down_bytes=before.down_bytes + log.down_bytes,
            up_bytes_client_round=log.up_bytes / len(log.clients),
            down_bytes_client_round=log.down_bytes / len(log.clients),
        )


def _here(device: torch.device) -> dict[str, JsonValue]:
    """What bits hang on beside the spec."""
    return hardware.hardware(device) | dict[str, JsonValue](hardware.versions())


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


def _round_seconds(rows: Sequence[Mapping[str, float]]) -> list[float] | None:
    seconds = [row["seconds"] for row in rows if "seconds" in row]
    return [min(seconds), float(np.median(seconds)), max(seconds)] if seconds else None

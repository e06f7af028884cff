"""A cell as the page shows it: everything of its record, as short as it can be written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import JsonValue

from fplbench.report.groups import METRIC_TITLES
from fplbench.store import DamagedRecord, Record, read_history

# What keeps the page of a thousand cells small: a longer history is thinned to this many rounds,
# and of more clients the record alone has each one's numbers.
MOST_ROUNDS, MOST_CLIENTS = 60, 100
# Columns of a history that are neither losses nor accuracies.
OTHERS = ("round", "clients", "up_bytes", "down_bytes", "seconds")

Json = dict[str, JsonValue]


class Pool:
    """Values that many cells share, each written once."""

    def __init__(self) -> None:
        self.values: list[JsonValue] = []
        self._places: dict[str, int] = {}

    def place(self, value: JsonValue) -> int:
        key = json.dumps(value, sort_keys=True)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def cell(folder: Path, record: Record, pool: Pool, titles: Mapping[str, str]) -> Json:
    """What page.js shows of a cell; values under "shared" are places in the pool."""
    error = record.error
    return {
        "id": record.id,
        "status": record.status,
        "method": titles.get(record.method, record.method),
        "dataset": record.dataset,
        "scenario": record.scenario,
        "backbone": record.backbone,
        "seed": record.seed,
        "started": record.started,
        "finished": record.finished,
        "metrics": {
            name: [_short(m.mean, 4), _short(m.std), _short(m.worst), m.count]
            for name, m in record.metrics.items()
        },
        "why": dict(record.not_applicable),
        "each": _each_client(record),
        "costs": {
            "parameters a client trains": record.trainable_parameters,
            "bytes up, all clients and rounds": record.traffic.up_bytes,
            "bytes down, all clients and rounds": record.traffic.down_bytes,
            "bytes up, a client and round": record.traffic.up_bytes_client_round,
            "bytes down, a client and round": record.traffic.down_bytes_client_round,
            **{f"seconds, {name}": _short(value, 3) for name, value in record.times.items()},
            "peak memory (bytes)": record.peak_bytes,
            "clients never sampled": record.never_sampled,
        },
        "shared": {
            "settings of the method": pool.place(record.settings),
            "settings of the scenario": pool.place(record.scenario_settings),
            "training": pool.place(record.training),
            "identity": pool.place(dict(record.identity)),
            "versions": pool.place(dict(record.versions)),
            "hardware": pool.place(record.hardware),
        },
        "clients": pool.place(list(record.clients[:MOST_CLIENTS])),
        "count": len(record.clients),
        "sizes": pool.place(list(record.train_sizes[:MOST_CLIENTS])),
        "history": _history(folder),
        "notes": list(record.notes),
        "error": None
        if error is None
        else {
            "kind": error.kind,
            "message": error.message,
            "traceback": error.traceback,
            "round": error.round,
            "client": error.client,
        },
    }


def _each_client(record: Record) -> dict[str, JsonValue]:
    """Every client's accuracy, to a tenth of a percent."""
    if len(record.clients) > MOST_CLIENTS:
        return {}
    return {
        name: [_short(value, 1) for value in metric.per_client]
        for name, metric in record.metrics.items()
        if metric.per_client is not None and name in METRIC_TITLES
    }


def _history(folder: Path) -> Json:
    """Column -> its numbers, a round each; the rounds with accuracies and the last are kept."""
    try:
        table = read_history(folder)
    except DamagedRecord as error:
        return {"damaged": str(error)}
    columns = [name for name in table.columns if name not in OTHERS[1:]]
    columns = [name for name in columns if name == "round" or "/" not in name]
    table = table[columns]
    if len(table) > MOST_ROUNDS:
        measured = [name for name in columns if name != "round" and not name.startswith("loss")]
        kept = np.zeros(len(table), dtype=bool)
        kept[np.linspace(0, len(table) - 1, MOST_ROUNDS).round().astype(int)] = True
        table = table[kept | table[measured].notna().any(axis=1)]
    return {name: _numbers(table[name], name) for name in columns}


def _numbers(column: pd.Series[float], name: str) -> list[JsonValue]:
    if name == "round":
        return [int(value) for value in column]
    return [_short(float(value), 4 if name.startswith("loss") else 2) for value in column]


def _short(value: float | None, decimals: int = 2) -> float | None:
    if value is None or math.isnan(value) or math.isinf(value):
        return None
    return round(value, decimals)

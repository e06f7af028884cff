"""A cell as the page shows it: everything of its record, as short as it can be written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import JsonValue

from fplbench.records import command, packed
from fplbench.records.record import Metric, Record, Scale
from fplbench.records.results import ACCURACY
from fplbench.records.store import DamagedRecord
from fplbench.report.captions import sentence
from fplbench.report.words import axis
from fplbench.spec import OWN

# What keeps the page of a thousand cells small: a longer history is thinned to this many rounds,
# and where a cell has more numbers of single clients than this, the record alone has the rest.
MOST_ROUNDS, MOST_NUMBERS = 60, 400
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
    """What cell.js shows of a cell; values under "shared" are places in the pool."""
    error = record.error
    return {
        "id": record.id,
        "status": record.status,
        "method": titles.get(record.method, record.method),
        "dataset": record.dataset,
        "scenario": record.scenario,
        "backbone": record.backbone,
        "seed": record.seed,
        "command": command.line(record),
        "started": record.started,
        "finished": record.finished,
        "source": record.source,
        "metrics": _numbers(record.metrics, ACCURACY),
        "measured": [
            {
                "title": sentence(axis(scale)),
                "decimals": scale.decimals,
                "metrics": _numbers(record.numbers(name), scale),
            }
            for name, scale in record.measures.items()
        ],
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
            **_of_strategy(record, pool),
            "settings of the scenario": pool.place(record.scenario_settings),
            "training": pool.place(record.training),
            "identity": pool.place({"protocol": record.protocol, **record.identity}),
            **{f"code of the {name}": pool.place({**each}) for name, each in record.code.items()},
            "versions": pool.place(dict(record.versions)),
            "hardware": pool.place(record.hardware),
        },
        "clients": pool.place(list(record.clients[:MOST_NUMBERS])),
        "count": len(record.clients),
        "sizes": pool.place(list(record.train_sizes[:MOST_NUMBERS])),
        "history": _history(folder, record),
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


def _of_strategy(record: Record, pool: Pool) -> Json:
    """How the method travelled, and what the strategy says of the run."""
    if record.strategy == OWN:
        return {}
    said = {
        fact.title: f"{fact.value}. {fact.meaning}" if fact.meaning else fact.value
        for fact in record.facts.values()
    }
    return {
        f"settings of the strategy {record.strategy}": pool.place({**record.strategy_settings}),
        **({"said by the strategy": pool.place({**said})} if said else {}),
    }


def _numbers(metrics: Mapping[str, Metric], scale: Scale) -> Json:
    decimals = scale.decimals + 1
    return {
        name: [
            _short(m.mean, decimals + 2),
            *(_short(v, decimals) for v in (m.std, m.worst)),
            m.count,
        ]
        for name, m in metrics.items()
    }


def _each_client(record: Record) -> dict[str, JsonValue]:
    """Every client's accuracy, to a tenth of a percent: of the first metrics that have room."""
    known = [name for name in record.about if name in record.metrics]
    each = {name: record.metrics[name].per_client for name in known}
    room = MOST_NUMBERS // max(1, len(record.clients))
    listed = [(name, values) for name, values in each.items() if values is not None][:room]
    return {name: [_short(value, 1) for value in values] for name, values in listed}


def _history(folder: Path, record: Record) -> Json:
    """Of the losses and of the accuracies: the rounds they are known at, and each one's numbers."""
    try:
        table = packed.history_of(folder)
    except DamagedRecord as error:
        return {"damaged": str(error)}
    names = [str(name) for name in table.columns if name not in OTHERS and "/" not in str(name)]
    losses = [name for name in names if name.startswith("loss")]
    return {
        "loss": _curves(table, losses, 4),
        "accuracy": _curves(table, [name for name in names if name in record.about], 2),
    }


def _curves(table: pd.DataFrame, names: list[str], decimals: int) -> Json:
    """A thinned history keeps its first and last round."""
    known = table.dropna(subset=names, how="all") if names else table.iloc[:0]
    if len(known) > MOST_ROUNDS:
        known = known.iloc[np.linspace(0, len(known) - 1, MOST_ROUNDS).round().astype(int)]
    columns: Json = {
        name: [_short(float(value), decimals) for value in known[name]] for name in names
    }
    return {"rounds": [int(value) for value in known["round"]], "columns": columns}


def _short(value: float | None, decimals: int = 2) -> float | None:
    if value is None or math.isnan(value) or math.isinf(value):
        return None
    return round(value, decimals)

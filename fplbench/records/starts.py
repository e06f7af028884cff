"""Moved starts: cells that repeat another one from a start a millionth beside it.

How far they end from it is what rounding alone does to its number: another processor or number
of threads moves a cell by no more than the last bits, and training makes as much of those.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev

from fplbench.plugins.measure import DEFAULT
from fplbench.records.record import Record

Found = list[tuple[Path, Record]]


@dataclass(frozen=True)
class Asked:
    """starts: how many moved ones each cell has in the end, the last of them with `threads`, by
    default half of the cell's own (2 for 1). methods, datasets, seeds: None for all."""

    starts: int
    threads: int | None
    methods: tuple[str, ...] | None
    datasets: tuple[str, ...] | None
    seeds: tuple[int, ...] | None

    def of(self, record: Record) -> bool:
        """Whether a record is meant, and its cell can be repeated."""
        wanted = (
            (self.methods, record.method),
            (self.datasets, record.dataset),
            (self.seeds, record.seed),
        )
        trained = record.status == "done" and record.trainable_parameters > 0
        return trained and all(names is None or name in names for names, name in wanted)


def nudge(record: Record) -> int:
    """Which moved start a cell has; 0 for the start as drawn (see spec.Training)."""
    return int(str(record.training.get("nudge", 0)))


def drawn(found: Found) -> Found:
    """The cells that start as drawn: all that may stand in a table."""
    return [(folder, record) for folder, record in found if not nudge(record)]


def repeats(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The id of each done cell that was repeated -> its done moved starts, in their order."""
    done = [record for record in records if record.status == "done"]
    moved: dict[str, list[Record]] = {}
    for record in sorted(done, key=nudge):
        if nudge(record):
            moved.setdefault(_cell(record), []).append(record)
    if not moved:
        return {}
    keys = {record.id: _cell(record) for record in done if not nudge(record)}
    return {id: moved[key] for id, key in keys.items() if key in moved}


def _cell(record: Record) -> str:
    """All that makes a cell but the start."""
    fields = ["method", "dataset", "scenario", "backbone", "seed", "settings"]
    fields += ["scenario_settings", "strategy", "strategy_settings", "identity", "protocol"]
    training = {name: value for name, value in record.training.items() if name != "nudge"}
    return json.dumps([training, *(getattr(record, name) for name in fields)], sort_keys=True)


def numbers(
    record: Record,
    moved: Sequence[Record],
    question: str,
    measure: str = DEFAULT,
    late: bool = False,
) -> dict[int, float]:
    """Start -> a metric from there, where there is one: 0 as drawn, then the moved ones.

    late: `last5` in place of the last round.
    """
    starts = {nudge(each): each.numbers(measure).get(question) for each in (record, *moved)}
    known = {number: metric for number, metric in starts.items() if metric is not None}
    values = {n: one.last5 if late else one.mean for n, one in known.items()}
    return {number: value for number, value in values.items() if value is not None}


def spread(values: Mapping[int, float]) -> float | None:
    """The standard deviation of one cell's number over its starts; None without a moved one."""
    return stdev(values.values()) if len(values) > 1 else None

"""One entry of a table: a number over seeds, or the word that stands for what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from fplbench.report.significance import Samples, beats_all

# Column of the tidy table -> its head in a table, and what it is divided by.
COSTS = {
    "trainable_parameters": ("Param.", 1.0),
    "up_bytes": ("MB up", 1e6),
    "down_bytes": ("MB down", 1e6),
    "seconds_round": ("s/round", 1.0),
    "peak_bytes": ("MB peak", 1e6),
}
MISSING, PARTIAL, FEWER = "--", "part.", "†"


@dataclass
class Entry:
    """One entry: a number over seeds, or the word that stands for it.

    text: the mean as printed, or "n/a", "div.", "fail", "part." or "--". std: as printed, None
    with one seed. seeds: how many; fewer: whether others of the table have more. samples: what
    the mean is over. mark: "best" or "second".
    """

    text: str = MISSING
    mean: float | None = None
    std: float | None = None
    seeds: int = 0
    fewer: bool = False
    samples: Samples = field(default_factory=dict)
    mark: Literal["", "best", "second"] = ""

    @property
    def spread(self) -> str | None:
        return None if self.std is None else f"{self.std:.1f}"


def accuracy(cells: pd.DataFrame, metric: str, column: str, seeds: int) -> Entry:
    """Of one method on one data set. cells: its rows of the tidy table.

    column: the data set's label; seeds: how many a complete entry has.
    """
    values = cells["value"].to_numpy(dtype=float)
    there = (cells["metric"] == metric).to_numpy() & ~np.isnan(values)
    if not there.any():
        return Entry(_word(cells, metric))
    numbers, seeds_there = values[there], cells["seed"].to_numpy()[there]
    return Entry(
        text=f"{numbers.mean():.1f}",
        mean=float(numbers.mean()),
        std=float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
        seeds=len(numbers),
        fewer=len(numbers) < seeds,
        samples={column: {int(s): float(v) for s, v in zip(seeds_there, numbers, strict=True)}},
    )


def cost(cells: pd.DataFrame, quantity: str, seeds: int) -> Entry:
    """Of one method on one data set, over its finished cells."""
    once = (cells["status"] == "done").to_numpy() & ~cells["id"].duplicated().to_numpy()
    values = cells[quantity].to_numpy(dtype=float)
    numbers = values[once & ~np.isnan(values)] / COSTS[quantity][1]
    if not len(numbers):
        return Entry(_word(cells, quantity))
    mean = float(numbers.mean())
    return Entry(cost_text(mean), mean, None, len(numbers), len(numbers) < seeds)


def cost_text(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _word(cells: pd.DataFrame, metric: str) -> str:
    """Why there is no number."""
    if (cells["metric"] == metric).any():
        return "n/a"
    statuses = set(cells["status"])
    stopped = {"diverged": "div.", "failed": "fail"}
    return next((word for status, word in stopped.items() if status in statuses), MISSING)


def average(parts: Mapping[str, Entry]) -> Entry:
    """The mean over data sets, each counting once; parts: data set -> its entry.

    A method that lacks a data set has no average: one over fewer data sets is another quantity.
    std: of the averages of each seed that all data sets have.
    """
    means = [entry.mean for entry in parts.values()]
    known = [mean for mean in means if mean is not None]
    if len(known) < len(means):
        words = {entry.text for entry in parts.values() if entry.mean is None}
        return Entry(PARTIAL if known or len(words) > 1 else words.pop())
    samples = {data: entry.samples[data] for data, entry in parts.items()}
    seeds = sorted(set.intersection(*(set(values) for values in samples.values())))
    each = [sum(values[seed] for values in samples.values()) / len(samples) for seed in seeds]
    mean = sum(known) / len(known)
    return Entry(
        text=f"{mean:.1f}",
        mean=mean,
        std=float(np.std(each, ddof=1)) if len(each) > 1 else None,
        seeds=min(entry.seeds for entry in parts.values()),
        fewer=any(entry.fewer for entry in parts.values()),
        samples=samples,
    )


def mark(entries: Sequence[Entry]) -> None:
    """Best and second of a column, where the difference is more than seeds explain.

    The best is marked if `beats_all` tells it from every other one, and then the second if it is
    told from all below it. Numbers that read the same are not marked apart. A mean over fewer
    seeds than others have is not ranked: those left out may be the bad ones.
    """
    ranked = sorted(
        (entry for entry in entries if entry.mean is not None and not entry.fewer),
        key=lambda entry: entry.mean or 0.0,
        reverse=True,
    )
    words: tuple[Literal["best", "second"], ...] = ("best", "second")
    for word in words:
        if len(ranked) < 2:
            return
        top, *rest = ranked
        if top.text == rest[0].text or not beats_all(top.samples, [r.samples for r in rest]):
            return
        top.mark = word
        ranked = rest

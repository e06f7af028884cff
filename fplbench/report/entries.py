"""One entry of a table: a number over seeds, or the word that stands for what is missing."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fplbench.report.significance import Samples, against_best, told

# Column of the tidy table -> its head in a table, and what it is divided by.
COSTS = {
    "trainable_parameters": ("Param.", 1.0),
    "up_bytes": ("MB up", 1e6),
    "down_bytes": ("MB down", 1e6),
    "seconds_round": ("s/round", 1.0),
    "step_bytes": ("MB step", 1e6),
    "peak_bytes": ("MB peak", 1e6),
}
# Measured where it is the cell's own alone; a process keeps what the cells before it took.
ON_GPU = ("peak_bytes",)
FloatArray = NDArray[np.float64]
MISSING, PARTIAL, FEWER = "--", "part.", "†"


@dataclass
class Entry:
    """One entry: a number over seeds, or the word that stands for it.

    text: the mean as printed, or "n/a", "div.", "fail", "part." or "--". std: as printed, None
    with one seed. seeds: how many; fewer: whether others of the table have more. samples: what
    the mean is over. trained: False for a method that trains nothing. std_starts: of one
    seed's number over moved starts, pooled over the seeds; None where there are none. mark: "best"
    for the best of a column and those not told from it. low, high: of a range or an interval;
    range: as printed beside the mean. decimals: as printed.
    """

    text: str = MISSING
    mean: float | None = None
    std: float | None = None
    seeds: int = 0
    fewer: bool = False
    samples: Samples = field(default_factory=dict)
    trained: bool = True
    std_starts: float | None = None
    mark: Literal["", "best"] = ""
    low: float | None = None
    high: float | None = None
    range: str = ""
    decimals: int = 1

    @property
    def spread(self) -> str | None:
        return None if self.std is None else f"{self.std:.{self.decimals}f}"


def number(cells: pd.DataFrame, metric: str, seeds: int, decimals: int = 1) -> Entry:
    """Of one method on one data set. cells: its rows of the tidy table.

    seeds: how many a complete entry has. decimals: to print.
    """
    values = cells["value"].to_numpy(dtype=float)
    there = (cells["metric"] == metric).to_numpy() & ~np.isnan(values)
    if not there.any():
        return Entry(_word(cells, metric))
    numbers, seeds_there = values[there], cells["seed"].to_numpy()[there]
    return Entry(
        text=f"{numbers.mean():.{decimals}f}",
        mean=float(numbers.mean()),
        std=float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
        seeds=len(numbers),
        fewer=len(numbers) < seeds,
        samples={int(s): float(v) for s, v in zip(seeds_there, numbers, strict=True)},
        trained=bool((cells["trainable_parameters"].to_numpy() > 0).any()),
        std_starts=_pooled(cells["std_starts"].to_numpy(dtype=float)[there]),
        decimals=decimals,
    )


def _pooled(deviations: FloatArray) -> float | None:
    """Of the seeds that were repeated, all as often."""
    known = deviations[~np.isnan(deviations)]
    return float(np.sqrt((known**2).mean())) if len(known) else None


def cost(cells: pd.DataFrame, quantity: str, seeds: int) -> Entry:
    """Of one method on one data set, over its finished cells: the mean; of seconds, which a busy
    machine stretches, the median, with the range over all rounds."""
    once = (cells["status"] == "done").to_numpy() & ~cells["id"].duplicated().to_numpy()
    if quantity in ON_GPU:
        once &= cells["on_gpu"].to_numpy(dtype=bool)
    values = cells[quantity].to_numpy(dtype=float)
    there = once & ~np.isnan(values)
    if not there.any():
        return Entry(_word(cells, quantity))
    numbers = values[there] / COSTS[quantity][1]
    entry = Entry(seeds=len(numbers), fewer=len(numbers) < seeds, mean=float(numbers.mean()))
    if quantity == "seconds_round":
        entry.mean = float(np.median(numbers))
        least, most = (
            cells[f"{quantity}_{end}"].to_numpy(dtype=float)[there] for end in ("least", "most")
        )
        if not np.isnan(least).any():
            entry.low, entry.high = float(least.min()), float(most.max())
            entry.range = f"({cost_text(entry.low)}-{cost_text(entry.high)})"
    entry.text = cost_text(entry.mean or 0.0)
    return entry


def cost_text(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _word(cells: pd.DataFrame, metric: str) -> str:
    """Why there is no number."""
    if (cells["metric"] == metric).any():
        return "n/a"
    statuses = set(cells["status"])
    stopped = {"diverged": "div.", "failed": "fail"}
    return next((word for status, word in stopped.items() if status in statuses), MISSING)


def average(parts: Mapping[str, Entry], seeds: Collection[int]) -> Entry:
    """The mean over data sets, each counting once; parts: data set -> its entry.

    One observation is a seed's average over the data sets: they share the seed's draws (who
    takes part, where the context starts, who holds which classes), so their numbers are no
    independent ones. seeds: those that all data sets have; others are left out.
    A method that lacks a data set has no average: one over fewer data sets is another quantity.
    """
    words = {entry.text for entry in parts.values() if entry.mean is None}
    if words:
        known = any(entry.mean is not None for entry in parts.values())
        return Entry(PARTIAL if known or len(words) > 1 else words.pop())
    mine = set(seeds).intersection(*(set(entry.samples) for entry in parts.values()))
    if not mine:
        return Entry(PARTIAL)
    samples = {
        seed: sum(entry.samples[seed] for entry in parts.values()) / len(parts)
        for seed in sorted(mine)
    }
    values = list(samples.values())
    mean = float(np.mean(values))
    decimals = max(entry.decimals for entry in parts.values())
    # Rounding moves each data set's number by itself.
    moved = [entry.std_starts for entry in parts.values() if entry.std_starts is not None]
    return Entry(
        text=f"{mean:.{decimals}f}",
        mean=mean,
        std=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        seeds=len(values),
        fewer=len(values) < len(seeds),
        samples=samples,
        trained=any(entry.trained for entry in parts.values()),
        std_starts=math.hypot(*moved) / len(parts) if len(moved) == len(parts) else None,
        decimals=decimals,
    )


def mark(entries: Sequence[Entry], lower_is_better: bool = False) -> None:
    """The best of a column and those not told from it (`against_best`).

    Numbers that read the same as the best are marked like it. A mean over fewer seeds than
    others have is not ranked: those left out may be the bad ones. With one seed nothing is told,
    and nothing marked.
    """
    ranked = [entry for entry in entries if entry.mean is not None and not entry.fewer]
    if len(ranked) < 2:
        return
    compared = against_best(
        [e.samples for e in ranked], [e.trained for e in ranked], lower_is_better
    )
    choose = min if lower_is_better else max
    best = choose(ranked, key=lambda entry: entry.mean or 0.0)
    for entry, behind in zip(ranked, compared, strict=True):
        if behind is not None and (entry.text == best.text or not told(behind)):
            entry.mark = "best"

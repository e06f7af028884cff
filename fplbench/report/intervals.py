"""Intervals and effect sizes, as further tables: how far a number could lie elsewhere.

Percentile bootstrap (Efron, 1979); interquartile mean and probability of improvement are
the measures of Agarwal et al., NeurIPS 2021 (their library rliable has had no release since 2024
and needs arch, absl and seaborn for these few lines). Every resampling starts from the same seed,
so that a table comes out again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fplbench.report import captions
from fplbench.report.entries import Entry, average
from fplbench.report.groups import Group, file_name
from fplbench.report.layout import (
    Layout,
    Row,
    entry,
    over_data_sets,
    quantities,
    shared_quantities,
)
from fplbench.report.significance import LEVEL, Behind, Floats, against_best
from fplbench.report.words import title

RESAMPLES = 2000
LONGEST = 48  # rows that find room on a page with the caption and the notes
HEADS = {
    "mean": "Mean",
    "over_seeds": "95 % over seeds",
    "over_clients": "95 % over clients",
    "to_best": "To the best (95 %)",
    "p": "p",
}
OVER_HEADS = {
    "mean": "Mean",
    "iqm": "IQM (95 %)",
    "best_improves": "P(best better) (95 %)",
    "to_best": "To the best (95 %)",
    "p": "p",
}
NOTES = [
    "Over seeds: bootstrap of the seeds' numbers; of few seeds it is too narrow. Over clients: "
    "bootstrap of the clients of each seed; n/a where a number is not made of single clients'.",
    "To the best: the difference by the t-test's variance, by itself; p is corrected for the "
    "choice of the best.",
]
OVER_NOTES = [
    "IQM: mean of the middle half of all seeds' numbers on all data sets. P(best better): that a "
    "seed of the best lies {} one of this method, averaged over data sets. Both with a "
    "bootstrap of seeds, each with all its data sets (Agarwal et al., NeurIPS 2021).",
    NOTES[1],
]


def intervals(group: Group, clients: pd.DataFrame) -> list[Layout]:
    """A table a data set, and one over all of them, of what has a number. clients: of
    load_clients, all cells'."""
    used = clients[["id", "metric", "seed", "value"]]  # of many more, which each cut would carry
    mine = used[used["id"].isin(set(group.frame["id"]))]
    columns = {data: quantities(group, data, "headline") for data in group.columns}
    tables = [
        table for data, names in columns.items() for table in _of_data(group, data, names, mine)
    ]
    if len(columns) > 1 and shared_quantities(columns) and not group.doubled:
        tables.append(_over(group, columns))
    return [table for table in tables if table.rows]


def _of_data(group: Group, data: str, names: Sequence[str], clients: pd.DataFrame) -> list[Layout]:
    """One table; one a metric where that would be too long for a page."""
    found: dict[str, list[Row]] = {}
    for name in names:
        entries = {row: entry(group, row, data, name) for row in group.rows}
        behind = _behind(entries, group.scale.lower_is_better)
        rows = found[name] = []
        for row, one in entries.items():
            cells = group.cells(row, data)
            each = clients[clients["id"].isin(set(cells["id"])) & (clients["metric"] == name)]
            decimals = group.scale.decimals
            over = _over_seeds(one), _over_clients(each, decimals)
            parts = [one, *over, *_against(behind.get(row), decimals)]
            rows += _row(title(name, group.about), row, parts)
    if sum(map(len, found.values())) <= LONGEST:
        every = [row for rows in found.values() for row in rows]
        return [_layout(group, data, [data], HEADS, every, NOTES)]
    return [_layout(group, data, [data], HEADS, rows, NOTES, name) for name, rows in found.items()]


def _over(group: Group, columns: Mapping[str, Sequence[str]]) -> Layout:
    seeds, lower, decimals = (
        group.common_seeds(columns),
        group.scale.lower_is_better,
        group.scale.decimals,
    )
    rows = []
    for name in shared_quantities(columns):
        parts = over_data_sets(group, columns, name)
        entries = {row: average(each, seeds) for row, each in parts.items()}
        behind = _behind(entries, lower)
        best = next((row for row, one in behind.items() if one.difference == 0), None)
        scores = {row: one for row, one in scores_of(parts, seeds).items() if row in behind}
        for row, one in entries.items():
            iqm = improves = Entry("not ranked")
            if row in scores and best is not None:
                iqm = iqm_of(scores[row], decimals)
                improves = Entry("best")
                if row != best:
                    pair = [scores[best], scores[row]]
                    improves = _of_seeds(_improvement, pair[::-1] if lower else pair, decimals=2)
            against = _against(behind.get(row), decimals)
            rows += _row(title(name, group.about), row, [one, iqm, improves, *against])
    notes = [note.format("below" if lower else "above") for note in OVER_NOTES]
    return _layout(group, "all", list(columns), OVER_HEADS, rows, notes)


def scores_of(parts: Mapping[str, Mapping[str, Entry]], seeds: Sequence[int]) -> dict[str, Floats]:
    """Row -> [seeds, data sets], of those that have them all. parts: of over_data_sets."""
    return {
        row: np.array([[one.samples[seed] for one in each.values()] for seed in seeds])
        for row, each in parts.items()
        if all(seed in one.samples for one in each.values() for seed in seeds)
    }


def iqm_of(scores: Floats, decimals: int) -> Entry:
    """The interquartile mean of [seeds, data sets], two seeds or more, with its interval."""
    return _of_seeds(_iqm, [scores], decimals)


def _behind(entries: Mapping[str, Entry], lower_is_better: bool) -> dict[str, Behind]:
    """Of those with all the seeds."""
    ranked = {row: one for row, one in entries.items() if one.mean is not None and not one.fewer}
    found = against_best(
        [one.samples for one in ranked.values()],
        [one.trained for one in ranked.values()],
        lower_is_better,
    )
    return {row: one for row, one in zip(ranked, found, strict=True) if one is not None}


def _over_seeds(one: Entry) -> Entry:
    values = np.array(list(one.samples.values()))
    if len(values) < 2:
        return Entry("one seed")
    return _interval(one.mean, *_bootstrap([values], _mean_of_means), one.decimals)


def _over_clients(each: pd.DataFrame, decimals: int) -> Entry:
    """Clients are drawn within their seed."""
    samples = [part["value"].to_numpy(dtype=float) for _, part in each.groupby("seed")]
    if not samples or min(map(len, samples)) < 2:
        return Entry("n/a")
    mean = float(_mean_of_means(*samples))
    return _interval(mean, *_bootstrap(samples, _mean_of_means), decimals)


def _mean_of_means(*samples: Floats, axis: int = -1) -> Floats:
    return np.asarray(np.mean([sample.mean(axis) for sample in samples], axis=0))


def _iqm(scores: Floats) -> Floats:
    """Of [..., seeds, data sets]: the mean without the lowest and the highest quarter, as
    scipy.stats.trim_mean has it."""
    ordered = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    out = ordered.shape[-1] // 4
    return np.asarray(ordered[..., out : ordered.shape[-1] - out].mean(-1))


def _improvement(top: Floats, other: Floats) -> Floats:
    """The share of pairs of seeds in which the first lies higher, a tie counting half; the mean
    over data sets. Both [..., seeds, data sets]."""
    apart = top[..., :, None, :] - other[..., None, :, :]
    return np.asarray(((apart > 0) + 0.5 * (apart == 0)).mean((-3, -2, -1)))


def _of_seeds(statistic: Callable[..., Floats], scores: Sequence[Floats], decimals: int) -> Entry:
    """A statistic of scores, each [seeds, data sets], with its interval; the scores' seeds are
    drawn together."""

    def of(places: NDArray[np.generic], axis: int = -1) -> Floats:
        return statistic(*(each[places.astype(int)] for each in scores))

    seeds = np.arange(len(scores[0]))
    value, (low, high) = float(of(seeds)), _bootstrap([seeds], of)
    text = f"{value:.{decimals}f} ({low:.{decimals}f} to {high:.{decimals}f})"
    return Entry(text, value, seeds=len(seeds), low=low, high=high)


def _bootstrap(
    samples: Sequence[NDArray[Any]], statistic: Callable[..., Floats]
) -> tuple[float, float]:
    """The ends of the percentile interval; each sample is drawn from by itself.

    The draws, and but for rounding the numbers, are those of scipy.stats.bootstrap, whose import
    alone takes as long as all tables of a demo.
    """
    draw = np.random.default_rng(0)
    drawn = [each[draw.integers(0, len(each), (RESAMPLES, len(each)))] for each in samples]
    low, high = np.quantile(statistic(*drawn, axis=-1), [LEVEL / 2, 1 - LEVEL / 2])
    return float(low), float(high)


def _interval(mean: float | None, low: float, high: float, decimals: int) -> Entry:
    text = f"{low:.{decimals}f} to {high:.{decimals}f}"
    return Entry(text, mean, low=low, high=high)


def _against(behind: Behind | None, decimals: int) -> list[Entry]:
    """The difference to the best, and its p."""
    if behind is None:
        return [Entry("not ranked"), Entry("")]
    if behind.difference == 0:
        return [Entry("best"), Entry("")]
    low, high = behind.low, behind.high
    numbers = (f"{value:.{decimals}f}" for value in (behind.difference, low, high))
    text = "{} ({} to {})".format(*numbers)
    p = "0" if behind.p == 0 else "< 0.001" if behind.p < 0.001 else f"{behind.p:.3f}"
    return [Entry(text, behind.difference, low=low, high=high), Entry(p, behind.p)]


def _row(head: str, row: str, entries: list[Entry]) -> list[Row]:
    """None where there is no mean; the other tables say why."""
    first = entries[0]
    mean = Entry(first.text, first.mean, seeds=first.seeds, fewer=first.fewer)
    return [Row(f"{head}, {row}", [mean, *entries[1:]])] if mean.mean is not None else []


def _layout(
    group: Group,
    name: str,
    data: Sequence[str],
    heads: Mapping[str, str],
    rows: list[Row],
    notes: Sequence[str],
    metric: str = "",
) -> Layout:
    labelled = [(row.label, row.entries) for row in rows]
    where = name if len(data) == 1 else f"{len(data)} data sets"
    behind = group.frame[group.frame["column"].isin(data)]
    return Layout(
        name="-".join(file_name(p) for p in (group.name, name, metric, "intervals") if p),
        kind="intervals",
        heads=[(where, list(heads.values()))],
        quantities=list(heads),
        rows=rows,
        cells=list(dict.fromkeys(behind["id"])),
        caption=str(captions.caption(group, "intervals", data, [])),
        notes=[*captions.measure(group), *notes, *captions.entry_notes(labelled)],
        corner="Metric, method",
    )

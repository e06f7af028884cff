"""A measure over a swept setting: shots, alpha, participation, clients, or any other number, also
one of a method's own or the learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.ticker import FixedLocator, NullLocator

from fplbench.plugins.measure import DEFAULT
from fplbench.report.figures import MOST_PANELS, about_lines, band
from fplbench.report.groups import (
    OPTIMIZER,
    absent,
    comparable,
    file_name,
    free_name,
    identities,
    row_labels,
    show,
)
from fplbench.report.looks import Look, in_a_row, legend_below, looks, new_figure, save
from fplbench.report.words import about, axis, headline, scale, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES = {
    "shots": "shots of a class",
    "alpha": "Dirichlet alpha",
    "participation": "share taking part",
    "clients": "clients",
    "clients_per_domain": "clients a domain",
    "rounds": "rounds",
    "local_epochs": "local epochs",
    "batch_size": "images of a step",
}
# From here on the values of a setting stand on a logarithmic axis.
WIDE = 8
# Share of the axis within which two numbers would stand on one another.
NEAR = 0.17


@dataclass(frozen=True)
class Sweep:
    """Cells of one data set that differ in one setting alone, but for method and seed.

    frame: rows of the tidy table with the column "row"; setting: the column that is swept.
    """

    setting: str
    data: str
    scenario: str
    frame: pd.DataFrame

    @property
    def values(self) -> list[float]:
        return sorted({float(value) for value in self.frame[self.setting]})


def find(results: pd.DataFrame, titles: Mapping[str, str]) -> Iterator[Sweep]:
    """Every sweep of at least two values that some method has run."""
    if results.empty:
        return
    cells = results[results["status"] == "done"].drop_duplicates("id").set_index("id", drop=False)
    shared = comparable(cells)
    own = [name for name in map(str, cells) if name.startswith("set.") or name in OPTIMIZER]
    for setting in [*shared, *own]:
        if not setting.startswith(("scen.", "train.", "set.")):
            continue
        if not all(_is_number(value) for value in cells[setting].dropna()):
            continue
        others = [name for name in shared if name != setting]
        others += ["dataset", *identities(cells).of_data]
        keys = cells[others].apply(
            lambda cell: repr([None if absent(value) else value for value in cell]), axis=1
        )
        for _, part in cells[cells[setting].notna()].groupby(keys, sort=False):
            # No label says what the axis says.
            labelled = part.assign(row=row_labels(part.assign(**{setting: None}), titles))
            swept = labelled.groupby("row")[setting].nunique()
            labelled = labelled[labelled["row"].isin(swept.index[swept > 1])]
            if labelled.empty:
                continue
            last = labelled.sort_values("finished")
            last = last.drop_duplicates(["row", setting, "seed"], keep="last")
            frame = results[results["id"].isin(last["id"])]
            frame = frame.assign(row=frame["id"].map(last["row"]))
            first = part.iloc[0]
            yield Sweep(setting, str(first["dataset"]), str(first["scenario"]), frame)


def draw(sweep: Sweep, titles: Mapping[str, str], out: Path, taken: set[str]) -> list[Path]:
    """A panel a headline metric: the mean over seeds, with a band of a standard deviation.

    taken: names of plots that are there already.
    """
    frame = sweep.frame.dropna(subset="value")
    seen = set(frame["metric"])
    newest = frame.sort_values("finished")
    called = about(newest)
    metrics = [name for name in headline(newest) or sorted(seen) if name in seen]
    metrics = metrics[:MOST_PANELS]
    if not metrics:
        return []
    methods = dict(zip(frame["row"], frame["method"], strict=True))
    order = {method: place for place, method in enumerate(titles)}
    rows = sorted(methods, key=lambda row: (order.get(methods[row], len(order)), row))
    style = looks({row: methods[row] for row in rows}, titles)
    columns = in_a_row(len(metrics))
    figure, panels = new_figure(-(-len(metrics) // columns), columns, 1.45 if columns > 1 else 2.0)
    bare = sweep.setting.split(".", 1)[1]
    for place, panel in enumerate(panels):
        if place >= len(metrics):
            panel.set_visible(False)
            continue
        for row in rows:
            mine = frame[(frame["row"] == row) & (frame["metric"] == metrics[place])]
            _line(panel, mine, sweep.setting, row, style[row])
        panel.set_title(title(metrics[place], called))
        ticks_at(panel, sweep.values)
        if place >= len(metrics) - columns:
            panel.set_xlabel(AXES.get(bare, bare))
        if place % columns == 0:
            panel.set_ylabel(axis(scale(newest)))
    seeds = frame.groupby(["row", sweep.setting])["seed"].nunique()
    count = f"{seeds.min()} to {seeds.max()}" if seeds.min() < seeds.max() else str(seeds.max())
    many = "" if count == "1" else "s"
    what = f"mean, band ± std over {count} seed{many}"
    about_lines(figure, [f"{sweep.data}, {sweep.scenario}: {what}"])
    legend_below(figure, panels[0], rows)
    measure = str(newest["measure"].iloc[-1])
    parts = [sweep.scenario, sweep.data, "over", bare, *([measure] if measure != DEFAULT else [])]
    drawn = frame.loc[
        frame["metric"].isin(metrics), ["row", "metric", "seed", sweep.setting, "value"]
    ]
    return save(figure, out / free_name(file_name("-".join(parts)), taken), drawn)


def _line(panel: Axes, frame: pd.DataFrame, setting: str, label: str, look: Look) -> None:
    by_value = frame.assign(at=pd.to_numeric(frame[setting])).groupby("at")["value"]
    band(panel, by_value.mean(), by_value.std(ddof=1).fillna(0.0), label, look)


def ticks_at(panel: Axes, values: list[float]) -> None:
    """Ticks where cells were run, but for those that would stand on another one's number."""
    wide = values[0] > 0 and values[-1] >= WIDE * values[0]
    if wide:
        panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(_apart(values, wide)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(lambda value, _: show(float(value)))


def _apart(values: list[float], log: bool) -> list[float]:
    """Of sorted values those that lie apart, the first and the last among them."""
    at = [math.log(value) for value in values] if log else values
    least = (at[-1] - at[0]) * NEAR
    kept = [0]
    for place in range(1, len(at) - 1):
        if at[place] - at[kept[-1]] >= least and at[-1] - at[place] >= least:
            kept.append(place)
    return [values[place] for place in dict.fromkeys([*kept, len(at) - 1])]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

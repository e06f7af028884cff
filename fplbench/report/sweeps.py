"""A measure over a swept setting: shots, alpha, participation, clients, or any other number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.ticker import FixedLocator, NullLocator

from fplbench.plugins.measure import DEFAULT
from fplbench.report.figures import MOST_PANELS, about_lines
from fplbench.report.groups import (
    absent,
    comparable,
    file_name,
    free_name,
    identities,
    row_labels,
    show,
)
from fplbench.report.looks import Look, legend_below, looks, new_figure, save
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
    for setting in shared:
        if not setting.startswith(("scen.", "train.")):
            continue
        if not all(_is_number(value) for value in cells[setting].dropna()):
            continue
        others = [name for name in shared if name != setting]
        others += ["dataset", *identities(cells).of_data]
        keys = cells[others].apply(
            lambda cell: repr([None if absent(value) else value for value in cell]), axis=1
        )
        for _, part in cells[cells[setting].notna()].groupby(keys, sort=False):
            labelled = part.assign(row=row_labels(part, titles))
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
    """A panel a headline metric: the mean over seeds, with a bar of a standard deviation.

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
    columns = min(2, len(metrics))
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
    about_lines(figure, [f"{sweep.data}, {sweep.scenario}: mean ± std over {count} seeds"])
    legend_below(figure, panels[0], rows)
    measure = str(newest["measure"].iloc[-1])
    parts = [sweep.scenario, sweep.data, "over", bare, *([measure] if measure != DEFAULT else [])]
    return save(figure, out / free_name(file_name("-".join(parts)), taken))


def _line(panel: Axes, frame: pd.DataFrame, setting: str, label: str, look: Look) -> None:
    by_value = frame.assign(at=pd.to_numeric(frame[setting])).groupby("at")["value"]
    mean, std = by_value.mean(), by_value.std(ddof=1).fillna(0.0)
    panel.errorbar(
        mean.index.to_numpy(dtype=float),
        mean,
        yerr=std,
        label=label,
        color=look.colour,
        marker=look.marker,
        linestyle=look.line,
        elinewidth=0.7,
        capsize=1.5,
    )


def ticks_at(panel: Axes, values: list[float]) -> None:
    """Ticks where cells were run."""
    if values[0] > 0 and values[-1] >= WIDE * values[0]:
        panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(values))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(lambda value, _: show(float(value)))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

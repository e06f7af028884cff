"""Results over a fact of their runs that is a number, such as a privacy budget that was spent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from fplbench.plugins.base import Fact
from fplbench.report.facts import of_cell
from fplbench.report.figures import MOST_PANELS, about_lines
from fplbench.report.groups import Group
from fplbench.report.looks import Look, in_a_row, legend_below, looks, new_figure, save
from fplbench.report.sweeps import ticks_at
from fplbench.report.words import axis, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(group: Group, data: str, titles: Mapping[str, str], name: Path) -> list[Path]:
    """A plot for each fact that is an axis, of the cells of a data set: NAME-over-FACT."""
    cells = group.frame[(group.frame["column"] == data) & (group.frame["status"] == "done")]
    of_id = {cell: of_cell(text) for cell, text in zip(cells["id"], cells["facts"], strict=True)}
    axes = {n: one for facts in of_id.values() for n, one in facts.items() if one.axis}
    files: list[Path] = []
    for fact, about in axes.items():
        at = {cell: facts[fact].value for cell, facts in of_id.items() if fact in facts}
        frame = cells.assign(at=pd.to_numeric(cells["id"].map(at))).dropna(subset="value")
        files += _draw(
            group, data, frame, about, titles, name.with_name(f"{name.name}-over-{fact}")
        )
    return files


def _draw(
    group: Group, data: str, frame: pd.DataFrame, fact: Fact, titles: Mapping[str, str], name: Path
) -> list[Path]:
    """A panel a headline metric: a line a method and strategy over the fact; what has no such fact
    is a level line."""
    seen = set(frame["metric"])
    metrics = [metric for metric in group.headline if metric in seen][:MOST_PANELS]
    if not metrics:
        return []
    named = frame["method"].map(lambda m: titles.get(m, m)) + ", " + frame["set.strategy"].map(str)
    lines = frame.assign(line=named.where(frame["at"].notna(), frame["row"]))
    methods = dict(zip(lines["line"], lines["method"], strict=True))
    style = looks(methods, titles)
    columns = in_a_row(len(metrics))
    figure, panels = new_figure(-(-len(metrics) // columns), columns, 1.45 if columns > 1 else 2.0)
    for place, panel in enumerate(panels):
        if place >= len(metrics):
            panel.set_visible(False)
            continue
        for line in methods:
            mine = lines[(lines["line"] == line) & (lines["metric"] == metrics[place])]
            _line(panel, mine, line, style[line])
        panel.set_title(title(metrics[place], group.about))
        spent = lines["at"].dropna().groupby(lines["row"]).mean()
        ticks_at(panel, sorted({float(f"{value:.2g}") for value in spent}))
        panel.set_xlabel(fact.title)
        if place % columns == 0:
            panel.set_ylabel(axis(group.scale))
    told = f"{data}, {group.scenario}: mean ± std over seeds; level: without {fact.title}"
    about_lines(figure, [told])
    legend_below(figure, panels[0], list(methods))
    drawn = lines.loc[lines["metric"].isin(metrics), ["line", "metric", "seed", "at", "value"]]
    return save(figure, name, drawn)


def _line(panel: Axes, frame: pd.DataFrame, label: str, look: Look) -> None:
    """A point for each row of the table, at the mean of its seeds' facts."""
    if frame["at"].isna().all():
        panel.axhline(frame["value"].mean(), label=label, color=look.colour, linestyle=":")
        return
    points = frame.groupby("row").agg(
        at=("at", "mean"), mean=("value", "mean"), std=("value", "std")
    )
    points = points.sort_values("at").fillna(0.0)
    panel.errorbar(
        points["at"],
        points["mean"],
        yerr=points["std"],
        label=label,
        color=look.colour,
        marker=look.marker,
        linestyle=look.line,
        elinewidth=0.7,
        capsize=1.5,
    )

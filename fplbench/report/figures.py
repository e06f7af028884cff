"""The plots of one data set in one setting: over rounds, the trade-off, clients, cost."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from fplbench.records.summary import leading
from fplbench.report.groups import Group
from fplbench.report.looks import COLUMN, Look, in_a_row, legend_below, new_figure, save
from fplbench.report.words import axis, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 4
# Cost -> what an axis calls it, and what it is divided by.
COST_AXES = {"traffic": ("MB sent, all clients", 1e6), "seconds_round": ("s a round", 1.0)}


def curves(
    group: Group, data: str, frame: pd.DataFrame, style: Mapping[str, Look], name: Path
) -> list[Path]:
    """The measure over rounds: the mean over seeds, and a band of a standard deviation.

    frame: rows of load_history with the column "row".
    """
    headline = group.headline or [name for name in group.about if name in frame]
    metrics = [m for m in headline if m in frame and frame[m].notna().any()][:MOST_PANELS]
    if not metrics:
        return []
    rows = rows_of(group, frame.dropna(subset=metrics, how="all"))
    columns = in_a_row(len(metrics))
    figure, panels = new_figure(-(-len(metrics) // columns), columns, 1.45 if columns > 1 else 2.0)
    for place, panel in enumerate(panels):
        if place >= len(metrics):
            panel.set_visible(False)
            continue
        metric = metrics[place]
        for row in rows:
            _curve(panel, frame[frame["row"] == row], metric, row, style[row])
        panel.set_title(title(metric, group.about))
        panel.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
        if place >= len(metrics) - columns:
            panel.set_xlabel("round")
        if place % columns == 0:
            panel.set_ylabel(axis(group.scale))
    about(figure, group, data, frame, rows, "mean, band ± std")
    legend_below(figure, panels[0], rows)
    drawn = frame.dropna(subset=metrics, how="all")[["row", "seed", "round", *metrics]]
    return save(figure, name.with_name(f"{name.name}-rounds"), drawn)


def _curve(panel: Axes, frame: pd.DataFrame, metric: str, label: str, look: Look) -> None:
    by_round = frame.dropna(subset=[metric]).groupby("round")[metric]
    band(panel, by_round.mean(), by_round.std(ddof=1).fillna(0.0), label, look)


def band(
    panel: Axes, mean: pd.Series[float], std: pd.Series[float], label: str, look: Look
) -> None:
    """A line of means by their index, with a band of a standard deviation."""
    at = mean.index.to_numpy(dtype=float)
    panel.plot(at, mean, label=label, color=look.colour, marker=look.marker, linestyle=look.line)
    low, high = (mean - std).to_numpy(), (mean + std).to_numpy()
    panel.fill_between(at, low, high, color=look.colour, alpha=0.15, linewidth=0)


def trade_off(
    group: Group, data: str, frame: pd.DataFrame, style: Mapping[str, Look], name: Path
) -> list[Path]:
    """What a method gains on its clients' own data against what it keeps elsewhere.

    frame: rows of load_results with the column "row".
    """
    first, second = group.trade_off
    measured = frame[frame["metric"].isin([first, second])]
    wide = measured.pivot(index=["row", "seed"], columns="metric", values="value").dropna()
    if wide.empty or not {first, second} <= set(wide.columns):
        return []
    pairs = wide[[first, second]].reset_index()
    rows = rows_of(group, pairs)
    figure, (panel,) = new_figure(1, 1, 2.3)
    means = pairs.groupby("row")[[first, second]].mean().to_numpy(dtype=float)
    _front(panel, means, group.scale.lower_is_better)
    for row in rows:
        points = pairs.loc[pairs["row"] == row, [first, second]]
        _point(panel, points.to_numpy(dtype=float), row, style[row])
    panel.set_xlabel(f"{title(first, group.about)} {axis(group.scale)}")
    panel.set_ylabel(f"{title(second, group.about)} {axis(group.scale)}")
    panel.margins(0.08)
    about(figure, group, data, pairs, rows, "Pareto front (dashed), mean ± std")
    legend_below(figure, panel, rows)
    return save(figure, name.with_name(f"{name.name}-tradeoff"), pairs)


def pareto_front(points: np.ndarray) -> np.ndarray:
    """Those of the points [N, 2] that no other one beats in both, by their first number."""
    beaten = [
        bool(((points >= point).all(axis=1) & (points > point).any(axis=1)).any())
        for point in points
    ]
    return np.unique(points[~np.array(beaten, dtype=bool)], axis=0)


def _front(panel: Axes, points: np.ndarray, lower_is_better: bool) -> None:
    """A staircase: below and left of it (above and right) lies what some method beats."""
    front = -pareto_front(-points)[::-1] if lower_is_better else pareto_front(points)
    panel.plot(
        front[:, 0],
        front[:, 1],
        drawstyle="steps-post" if lower_is_better else "steps-pre",
        color="#777777",
        linestyle="--",
        linewidth=0.9,
        zorder=1,
    )


def _cheap_front(panel: Axes, points: np.ndarray, lower_is_better: bool) -> None:
    """A staircase: below and right of it (above and right) lies what some method beats for less.
    points: [N, 2], a cost and a measure."""
    signs = np.array([-1.0, -1.0 if lower_is_better else 1.0])
    front = (pareto_front(points * signs) * signs)[::-1]
    end = np.array([[points[:, 0].max(), front[-1, 1]]])  # on to the dearest: it is worth no more
    front = np.concatenate([front, end])
    panel.plot(
        front[:, 0],
        front[:, 1],
        drawstyle="steps-post",
        color="#777777",
        linestyle="--",
        linewidth=0.9,
        zorder=1,
    )


def _point(panel: Axes, pairs: np.ndarray, label: str, look: Look) -> None:
    """pairs: [seeds, 2]."""
    x, y = pairs.mean(axis=0)
    errors = pairs.std(axis=0, ddof=1) if len(pairs) > 1 else (0.0, 0.0)
    panel.errorbar(
        x,
        y,
        xerr=errors[0],
        yerr=errors[1],
        label=label,
        color=look.colour,
        marker=look.marker,
        markersize=5,
        markerfacecolor=look.colour if look.line == "-" else "white",
        linestyle="none",
        elinewidth=0.8,
        capsize=1.5,
    )


def clients(
    group: Group, data: str, frame: pd.DataFrame, style: Mapping[str, Look], name: Path
) -> list[Path]:
    """Every client's number, a strip a method; the clients of all seeds together.

    frame: rows of load_clients with the column "row".
    """
    frame = frame[frame["metric"] == "local"]
    rows = rows_of(group, frame)
    if not rows:
        return []
    figure, (panel,) = new_figure(1, 1, 0.75 + 0.27 * len(rows))
    for place, row in enumerate(rows):
        _strip(panel, frame[frame["row"] == row], place, style[row])
    panel.set_yticks(range(len(rows)), rows)
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.grid(visible=False, axis="y")
    panel.set_xlabel(f"local {axis(group.scale)}")
    about(figure, group, data, frame, rows, "a dot a client, bar: mean; all clients")
    drawn = frame[["row", "seed", "client", "train_size", "value"]]
    return save(figure, name.with_name(f"{name.name}-clients"), drawn)


def _strip(panel: Axes, frame: pd.DataFrame, place: int, look: Look) -> None:
    values = np.sort(frame["value"].to_numpy(dtype=float))
    # Sorted values a golden section apart: neighbours never lie on one another.
    heights = place + 0.5 * ((np.arange(len(values)) * 0.618034) % 1 - 0.5)
    panel.scatter(
        values,
        heights,
        s=11 if len(values) <= 100 else 5,
        color=look.colour,
        marker=look.marker,
        alpha=0.65,
        linewidths=0,
    )
    panel.vlines(values.mean(), place - 0.38, place + 0.38, colors="black", linewidth=1.4)


def costs(
    group: Group, data: str, frame: pd.DataFrame, style: Mapping[str, Look], name: Path
) -> list[Path]:
    """The headline metric that sums up the others, or else the first, against what it costs.

    frame: rows of load_results with the column "row".
    """
    known = set(frame.loc[frame["value"].notna(), "metric"])
    metric = leading(group.headline, known)
    if metric is None:
        return []
    frame = frame[frame["metric"] == metric].dropna(subset="value")
    frame = frame.assign(traffic=frame["up_bytes"] + frame["down_bytes"])
    shown = [cost for cost in COST_AXES if pd.to_numeric(frame[cost]).notna().any()]
    rows = rows_of(group, frame)
    figure, panels = new_figure(1, len(shown), 1.9)
    for panel, cost in zip(panels, shown, strict=True):
        label, unit = COST_AXES[cost]
        for row in rows:
            mine = frame[frame["row"] == row]
            pairs = np.stack([pd.to_numeric(mine[cost]) / unit, mine["value"]], axis=1)
            _point(panel, pairs.astype(float), row, style[row])
        means = frame.assign(at=pd.to_numeric(frame[cost])).groupby("row")[["at", "value"]].mean()
        _cheap_front(panel, means.to_numpy(dtype=float) / [unit, 1.0], group.scale.lower_is_better)
        _spread_out(panel, pd.to_numeric(frame[cost]).to_numpy(dtype=float) / unit)
        panel.set_xlabel(label)
        panel.margins(0.1)
    panels[0].set_ylabel(f"{title(metric, group.about)} {axis(group.scale)}")
    about(figure, group, data, frame, rows, "Pareto front (dashed), mean ± std")
    legend_below(figure, panels[0], rows)
    drawn = frame[["row", "seed", *shown, "value"]].rename(columns={"traffic": "bytes_sent"})
    return save(figure, name.with_name(f"{name.name}-cost"), drawn)


def _spread_out(panel: Axes, values: np.ndarray) -> None:
    """Costs of different orders of magnitude on a logarithmic axis that still has a 0."""
    some = values[values > 0]
    if len(some) and some.max() > 30 * some.min():
        least, most = float(some.min()), float(some.max())
        panel.set_xscale("symlog", linthresh=least)
        tens = np.arange(np.ceil(np.log10(least)), np.floor(np.log10(most)) + 1)
        panel.xaxis.set_major_locator(FixedLocator([0.0, *10.0**tens]))
        panel.xaxis.set_minor_locator(NullLocator())
        # matplotlib would write powers in TeX's words, which are no markup here (looks.RC).
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def rows_of(group: Group, frame: pd.DataFrame) -> list[str]:
    """The group's rows that have numbers here."""
    return [row for row in group.rows if (frame["row"] == row).any()]


def about(
    figure: Figure, group: Group, data: str, frame: pd.DataFrame, rows: list[str], what: str
) -> None:
    """Above the panels: the data set, what is drawn over how many seeds, and what is missing."""
    count = len(group.seeds(data))
    parts = [f"{data}: {what} over {count} seed{'s' if count > 1 else ''}"]
    seeds = {row: frame.loc[frame["row"] == row, "seed"].nunique() for row in rows}
    fewer: dict[int, list[str]] = {}
    for row, each in seeds.items():
        if each < count:
            fewer.setdefault(each, []).append(row)
    parts += [f"{each} only: {', '.join(names)}" for each, names in sorted(fewer.items())]
    ran = set(group.frame.loc[group.frame["column"] == data, "row"])
    absent = [row for row in group.rows if row in ran and row not in rows]
    parts += [f"no such numbers: {', '.join(absent)}"] if absent else []
    about_lines(figure, parts)


def about_lines(figure: Figure, parts: Sequence[str]) -> None:
    """Above the panels, with room of its own."""
    width = round(68 * figure.get_figwidth() / COLUMN)
    lines = [line for part in parts for line in textwrap.wrap(part, width)]
    figure.set_size_inches(figure.get_figwidth(), figure.get_figheight() + 0.12 * len(lines))
    figure.suptitle("\n".join(lines), fontsize=6.5, color="#444444")

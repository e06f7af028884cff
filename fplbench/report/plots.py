"""Plots of a store's records: curves over rounds, trade-offs, clients. PDF and PNG, no window."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from fplbench.errors import UserError
from fplbench.report.groups import (
    HEADLINES,
    METRIC_TITLES,
    TRADE_OFF,
    TRADE_OFFS,
    Group,
    file_name,
    split,
)
from fplbench.report.looks import RC, Look, legend_below, looks, new_figure, save
from fplbench.report.tables import NOTHING
from fplbench.results import load_clients, load_history, load_results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = {"domains": "own domain", "global_domains": "shared prompt", "global": "shared prompt"}
MOST_PANELS = 4


def write_plots(path: Path | str, out: Path, titles: Mapping[str, str]) -> list[Path]:
    """Draw all plots of a store, or of a folder of stores, into a folder; return the files.

    For each group of comparable cells and each data set: NAME-rounds, NAME-tradeoff and
    NAME-clients, where there are numbers for it. titles: method -> display name; its order fixes
    each method's colour and marker. Without records: UserError.
    """
    results = load_results(path)
    if results.empty:
        raise UserError("; ".join([*results.attrs["problems"], NOTHING]))
    history, by_client = load_history(path), load_clients(path)
    files: list[Path] = []
    with matplotlib.rc_context(RC):
        for group in split(results, titles):
            style = looks(group.methods, titles)
            for data in group.columns:
                name = out / _name(group, data)
                files += curves(group, data, _of_group(history, group, data), style, name)
                files += trade_off(group, data, _of_group(group.frame, group, data), style, name)
                files += clients(group, data, _of_group(by_client, group, data), style, name)
    return files


def curves(
    group: Group, data: str, frame: pd.DataFrame, style: Mapping[str, Look], name: Path
) -> list[Path]:
    """Accuracy over rounds: the mean over seeds, and a band of a standard deviation.

    frame: rows of load_history with the column "row".
    """
    headline = HEADLINES.get(group.scenario, list(frame.columns.intersection(list(METRIC_TITLES))))
    metrics = [m for m in headline if m in frame and frame[m].notna().any()][:MOST_PANELS]
    if not metrics:
        return []
    rows = _rows(group, frame.dropna(subset=metrics, how="all"))
    columns = min(2, len(metrics))
    figure, panels = new_figure(-(-len(metrics) // columns), columns, 1.45 if columns > 1 else 2.0)
    for place, panel in enumerate(panels):
        if place >= len(metrics):
            panel.set_visible(False)
            continue
        metric = metrics[place]
        for row in rows:
            _curve(panel, frame[frame["row"] == row], metric, row, style[row])
        panel.set_title(METRIC_TITLES.get(metric, metric))
        panel.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        if place >= len(metrics) - columns:
            panel.set_xlabel("round")
        if place % columns == 0:
            panel.set_ylabel("accuracy (%)")
    _about(figure, group, data, frame, rows, "mean, band ± std")
    legend_below(figure, panels[0], rows)
    return save(figure, name.with_name(f"{name.name}-rounds"))


def _curve(panel: Axes, frame: pd.DataFrame, metric: str, label: str, look: Look) -> None:
    by_round = frame.dropna(subset=[metric]).groupby("round")[metric]
    mean, std = by_round.mean(), by_round.std(ddof=1).fillna(0.0)
    rounds = mean.index.to_numpy(dtype=float)
    panel.plot(
        rounds, mean, label=label, color=look.colour, marker=look.marker, linestyle=look.line
    )
    low, high = (mean - std).to_numpy(), (mean + std).to_numpy()
    panel.fill_between(rounds, low, high, color=look.colour, alpha=0.15, linewidth=0)


def trade_off(
    group: Group, data: str, frame: pd.DataFrame, style: Mapping[str, Look], name: Path
) -> list[Path]:
    """What a method gains on its clients' own data against what it keeps elsewhere.

    frame: rows of load_results with the column "row".
    """
    first, second = TRADE_OFFS.get(group.scenario, TRADE_OFF)
    measured = frame[frame["metric"].isin([first, second])]
    wide = measured.pivot(index=["row", "seed"], columns="metric", values="value").dropna()
    if wide.empty or not {first, second} <= set(wide.columns):
        return []
    pairs = wide[[first, second]].reset_index()
    rows = _rows(group, pairs)
    figure, (panel,) = new_figure(1, 1, 2.3)
    for row in rows:
        points = pairs.loc[pairs["row"] == row, [first, second]]
        _point(panel, points.to_numpy(dtype=float), row, style[row])
    panel.set_xlabel(f"{AXES.get(first, first)} accuracy (%)")
    panel.set_ylabel(f"{AXES.get(second, second)} accuracy (%)")
    panel.margins(0.08)
    _about(figure, group, data, pairs, rows, "mean ± std")
    legend_below(figure, panel, rows)
    return save(figure, name.with_name(f"{name.name}-tradeoff"))


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
    """Every client's accuracy, a strip a method; the clients of all seeds together.

    frame: rows of load_clients with the column "row".
    """
    frame = frame[frame["metric"] == "local"]
    rows = _rows(group, frame)
    if not rows:
        return []
    figure, (panel,) = new_figure(1, 1, 0.75 + 0.27 * len(rows))
    for place, row in enumerate(rows):
        _strip(panel, frame[frame["row"] == row], place, style[row])
    panel.set_yticks(range(len(rows)), rows)
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.grid(visible=False, axis="y")
    panel.set_xlabel("local accuracy (%)")
    _about(figure, group, data, frame, rows, "a dot a client, bar: mean; all clients")
    return save(figure, name.with_name(f"{name.name}-clients"))


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


def _of_group(table: pd.DataFrame, group: Group, data: str) -> pd.DataFrame:
    """The rows of the group's finished cells on a data set, with the column "row"."""
    cells = group.frame[(group.frame["column"] == data) & (group.frame["status"] == "done")]
    labels = dict(zip(cells["id"], cells["row"], strict=True))
    mine = table[table["id"].isin(list(labels))]
    return mine.assign(row=mine["id"].map(labels))


def _rows(group: Group, frame: pd.DataFrame) -> list[str]:
    return [row for row in group.rows if (frame["row"] == row).any()]


def _about(
    figure: Figure, group: Group, data: str, frame: pd.DataFrame, rows: list[str], what: str
) -> None:
    """Above the panels: the data set, what is drawn over how many seeds, and what is missing."""
    count = len(group.seeds(data))
    parts = [f"{data}: {what} over {count} seed{'s' if count > 1 else ''}"]
    seeds = {row: frame.loc[frame["row"] == row, "seed"].nunique() for row in rows}
    parts += [f"{row}: {each} only" for row, each in seeds.items() if each < count]
    ran = set(group.frame.loc[group.frame["column"] == data, "row"])
    absent = [row for row in group.rows if row in ran and row not in rows]
    parts += [f"no such numbers: {', '.join(absent)}"] if absent else []
    lines = [line for part in parts for line in textwrap.wrap(part, 68)]
    figure.set_size_inches(figure.get_figwidth(), figure.get_figheight() + 0.12 * len(lines))
    figure.suptitle("\n".join(lines), fontsize=6.5, color="#444444")


def _name(group: Group, data: str) -> str:
    return "-".join([group.name, *([file_name(data)] if len(group.columns) > 1 else [])])

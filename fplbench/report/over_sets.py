"""A metric over several data sets: performance profiles, and interquartile means with intervals.

Both are of Agarwal et al., NeurIPS 2021; the bands are percentile bootstraps of seeds, each drawn
with all its data sets, as in the tables (`intervals`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fplbench.records.phrases import and_, some
from fplbench.report.entries import Entry
from fplbench.report.figures import about_lines
from fplbench.report.groups import Group, file_name
from fplbench.report.intervals import RESAMPLES, iqm_of, scores_of
from fplbench.report.looks import Look, legend_below, new_figure, save
from fplbench.report.significance import LEVEL
from fplbench.report.words import axis, title

Floats = NDArray[np.float64]
POINTS = 101


def draw(
    group: Group,
    parts: Mapping[str, Mapping[str, Entry]],
    metric: str,
    style: Mapping[str, Look],
    name: Path,
) -> list[Path]:
    """NAME-profile-METRIC, and with two seeds or more NAME-iqm-METRIC, of the rows that have every
    seed on every data set. parts: of over_data_sets."""
    data = list(next(iter(parts.values()), {}))
    seeds = group.common_seeds(data)
    scores = scores_of(parts, seeds) if seeds else {}
    if not scores:
        return []
    out = [row for row in parts if row not in scores]
    runs = f"{len(data)} data sets with {some(len(seeds), 'seed')} each{left_out(out)}"
    ending = file_name(metric)
    files = _profiles(
        group, scores, metric, style, runs, name.with_name(f"{name.name}-profile-{ending}")
    )
    if len(seeds) > 1:
        files += _means(
            group, scores, metric, style, runs, name.with_name(f"{name.name}-iqm-{ending}")
        )
    return files


def left_out(rows: Sequence[str]) -> str:
    """A clause for what is not drawn; "" where nothing is."""
    return f" (without {and_(rows)}, not run with all of them)" if rows else ""


def profile(scores: Floats, at: Floats) -> tuple[Floats, Floats, Floats]:
    """The share of runs [seeds, data sets] whose number is at least each of `at` [T], each data set
    counting once, and the ends of its interval, [T] each; with one seed these are the share."""
    reached = (scores[:, :, None] >= at).mean(axis=1)  # [seeds, T]
    drawn = np.random.default_rng(0).integers(len(scores), size=(RESAMPLES, len(scores)))
    low, high = np.quantile(reached[drawn].mean(axis=1), [LEVEL / 2, 1 - LEVEL / 2], axis=0)
    return reached.mean(axis=0), low, high


def _profiles(
    group: Group,
    scores: Mapping[str, Floats],
    metric: str,
    style: Mapping[str, Look],
    runs: str,
    name: Path,
) -> list[Path]:
    values = np.concatenate([each.ravel() for each in scores.values()])
    at = np.linspace(values.min(), values.max(), POINTS)
    figure, (panel,) = new_figure(1, 1, 2.0)
    drawn = []
    for place, (row, each) in enumerate(scores.items()):
        share, low, high = profile(each, at)
        look = style[row]
        step = max(1, POINTS // 8)
        panel.plot(
            at,
            share,
            label=row,
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            markevery=(place % step, step),
        )
        panel.fill_between(at, low, high, color=look.colour, alpha=0.15, linewidth=0)
        drawn.append(pd.DataFrame({"row": row, "at": at, "share": share, "low": low, "high": high}))
    panel.set_xlabel(f"{title(metric, group.about)} {axis(group.scale)}")
    panel.set_ylabel("share of runs with as much")
    panel.set_ylim(-0.03, 1.03)
    about_lines(figure, [f"{runs}; band: 95 % over seeds (bootstrap)"])
    legend_below(figure, panel, list(scores))
    return save(figure, name, pd.concat(drawn))


def _means(
    group: Group,
    scores: Mapping[str, Floats],
    metric: str,
    style: Mapping[str, Look],
    runs: str,
    name: Path,
) -> list[Path]:
    """A row a method: the interquartile mean with its interval, and the mean."""
    figure, (panel,) = new_figure(1, 1, 0.7 + 0.2 * len(scores))
    drawn = []
    for place, (row, each) in enumerate(scores.items()):
        found, mean, look = iqm_of(each, group.scale.decimals), float(each.mean()), style[row]
        iqm, low, high = np.array([found.mean, found.low, found.high], dtype=float)
        panel.plot(
            [low, high],
            [place, place],
            color=look.colour,
            linewidth=3.5,
            alpha=0.4,
            solid_capstyle="butt",
        )
        panel.plot(iqm, place, color=look.colour, marker=look.marker, markersize=5)
        panel.plot(mean, place, color="black", marker="|", markersize=7, linestyle="none")
        drawn.append([row, iqm, low, high, mean])
    panel.set_yticks(range(len(scores)), list(scores))
    panel.set_ylim(len(scores) - 0.4, -0.6)
    panel.grid(visible=False, axis="y")
    panel.set_xlabel(f"{title(metric, group.about)} {axis(group.scale)}")
    about_lines(figure, [f"{runs}: interquartile mean, bar: 95 % over seeds; stroke: mean"])
    return save(figure, name, pd.DataFrame(drawn, columns=["row", "iqm", "low", "high", "mean"]))

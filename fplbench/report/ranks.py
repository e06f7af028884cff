"""The critical-difference diagram: average ranks over data sets, and what is not told apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from fplbench.report.figures import about_lines
from fplbench.report.groups import file_name
from fplbench.report.looks import new_figure, save
from fplbench.report.over_sets import left_out
from fplbench.report.significance import LEVEL, Ranking

LINE = 0.62  # of the height of a line of text, in units of the diagram
MOST = 12  # methods whose names find room at both ends of a line


def draw(
    ranking: Ranking, metric: str, title: str, name: Path, absent: Sequence[str] = ()
) -> list[Path]:
    """Average ranks, with what is not told apart. title: what the metric is called. absent: rows
    that have no rank."""
    order = sorted(ranking.ranks, key=lambda row: ranking.ranks[row])
    figure = _line(ranking, order) if len(order) <= MOST else _list(ranking, order)
    data = f"{ranking.data_sets} data sets{left_out(absent)}"
    about_lines(
        figure,
        [
            f"{title}: average rank over {data}, 1 is best",
            f"Friedman p = {ranking.p:.2g}; bars: not told apart (Nemenyi, p < {LEVEL})",
        ],
    )
    drawn = pd.DataFrame({"row": order, "rank": [ranking.ranks[row] for row in order]})
    return save(figure, name.with_name(f"{name.name}-ranks-{file_name(metric)}"), drawn)


def _list(ranking: Ranking, order: Sequence[str]) -> Figure:
    """Of many methods: a row each, the best on top; bars at the right join what is alike."""
    figure, (panel,) = new_figure(1, 1, 0.9 + 0.17 * len(order))
    cliques, last = ranking.cliques(), len(order)
    place = {row: height for height, row in enumerate(order)}
    ranks = [ranking.ranks[row] for row in order]
    panel.plot(ranks, range(last), color="black", marker="o", markersize=3, linestyle="none")
    step = 0.02 * last
    for number, clique in enumerate(cliques):
        at = max(ranks) + step * (2 + number)
        ends = [place[clique[0]] - 0.25, place[clique[-1]] + 0.25]
        panel.plot([at, at], ends, color="black", linewidth=1.6, solid_capstyle="butt")
    panel.plot([1, 1 + ranking.critical], [-1, -1], color="black", linewidth=1.2)
    words = f" critical difference {ranking.critical:.2f}"
    panel.text(1 + ranking.critical, -1, words, ha="left", va="center", fontsize=6)
    panel.set_yticks(range(last), order)
    panel.set_ylim(last - 0.4, -1.8)
    panel.grid(visible=False, axis="y")
    panel.set_xlabel("average rank")
    return figure


def _line(ranking: Ranking, order: Sequence[str]) -> Figure:
    """As Demsar draws it (JMLR 2006, figure 1): best at the left, bars join what is alike."""
    half = -(-len(order) // 2)
    cliques = ranking.cliques()
    figure, (panel,) = new_figure(1, 1, 0.75 + 0.17 * half + 0.07 * len(cliques))
    last = len(order)
    bottom = 0.35 * len(cliques) + 0.4
    panel.set_axis_off()
    panel.hlines(0, 1, last, colors="black", linewidth=0.8)
    for tick in range(1, last + 1):
        panel.vlines(tick, 0, 0.25, colors="black", linewidth=0.8)
        panel.text(tick, 0.4, str(tick), ha="center", va="bottom", fontsize=7)
    panel.hlines(1.75, 1, 1 + ranking.critical, colors="black", linewidth=1.2)
    panel.vlines([1, 1 + ranking.critical], 1.6, 1.9, colors="black", linewidth=1.2)
    words = f"critical difference {ranking.critical:.2f}"
    panel.text(1, 2.05, words, ha="left", va="bottom", fontsize=7)
    margin = 0.06 * (last - 1)
    for place, row in enumerate(order):
        left = place < half
        line = place if left else len(order) - 1 - place
        height = -(bottom + LINE * line)
        rank, end = ranking.ranks[row], 1 - margin if left else last + margin
        panel.plot([rank, rank, end], [0, height, height], color="#555555", linewidth=0.7)
        text = f"{row} {rank:.2f}" if left else f"{rank:.2f} {row}"
        panel.text(end, height, f" {text} ", ha="right" if left else "left", va="center")
    for place, clique in enumerate(cliques):
        ends = [ranking.ranks[clique[0]] - 0.03, ranking.ranks[clique[-1]] + 0.03]
        panel.plot(ends, [-0.3 - 0.35 * place] * 2, color="black", linewidth=2.4)
    panel.set_xlim(1 - 0.75 * (last - 1), last + 0.75 * (last - 1))
    return figure

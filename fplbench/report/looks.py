"""How a method looks in every plot, and how a figure is made to fit a column of a paper.

matplotlib is imported where a figure is made: the page takes its looks from here without it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fplbench.machine.fonts import fit
from fplbench.records.atomic import OUT, put, writing

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN, PAGE = 3.3, 6.9
"""Inches of a column and of a page with two of them. Letters have the same size in both."""

# Okabe and Ito's colours, told apart with any kind of colour vision; their yellow is left out,
# since lines in it vanish on white.
COLOURS = ["#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"]
MARKERS = "osD^vPX<>p*"
LINES = ["-", "--", ":", "-."]

# Any: the keys' own literal type is newer than the oldest matplotlib that will do.
RC: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # TrueType, which every publisher takes
    "text.parse_math": False,  # a name with a dollar sign is a name
    "savefig.dpi": 200,
}


def rc(columns: int) -> Any:
    """What matplotlib is told for figures as wide as one column of a paper, or as two."""
    return {**RC, "figure.figsize": (COLUMN if columns == 1 else PAGE, 2.0)}


@dataclass(frozen=True)
class Look:
    """Colour, marker and line of one row."""

    colour: str
    marker: str
    line: str


def looks(methods: Mapping[str, str], titles: Mapping[str, str]) -> dict[str, Look]:
    """The look of each row. methods: row -> its method, as in Group.

    Colour and marker follow from the method's place among all titles, so that they are the same
    in every figure, whatever else it shows. Variants of a method differ in the line.
    """
    order = [*titles, *sorted({method for method in methods.values() if method not in titles})]
    found: dict[str, Look] = {}
    for row, method in methods.items():
        place = order.index(method)
        variant = sum(methods[other] == method for other in found) + place // len(COLOURS)
        found[row] = Look(
            COLOURS[place % len(COLOURS)],
            MARKERS[place % len(MARKERS)],
            LINES[variant % len(LINES)],
        )
    return found


def new_figure(rows: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of the width that `rc` says without a window. height: inches of a row of panels."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = matplotlib.rcParams["figure.figsize"][0]
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)


def in_a_row(panels: int) -> int:
    """How many of so many panels stand side by side."""
    import matplotlib

    return min(panels, 2 if matplotlib.rcParams["figure.figsize"][0] < PAGE else 4)


def legend_below(figure: Figure, axes: Axes, labels: list[str]) -> None:
    """Every row's look, under the panels, where it covers nothing."""
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    shown = [label for label in labels if label in handles]
    longest = max((len(label) for label in shown), default=0)
    columns = 3 if longest <= 14 else 2 if longest <= 26 else 1
    columns *= int(figure.get_figwidth() / COLUMN)
    lines = -(-len(shown) // columns)
    # Room of its own, so that the panels keep their size.
    figure.set_size_inches(figure.get_figwidth(), figure.get_figheight() + 0.1 + 0.15 * lines)
    figure.legend(
        [handles[label] for label in shown],
        shown,
        loc="outside lower center",
        ncols=columns,
        columnspacing=1.0,
        handletextpad=0.4,
    )


def save(figure: Figure, path: Path, data: pd.DataFrame) -> list[Path]:
    """As PDF for a paper and PNG for the web, the same bytes for the same figure, and what is drawn
    as CSV."""
    import matplotlib

    pdf, png, csv = (path.with_name(f"{path.name}.{end}") for end in ("pdf", "png", "csv"))
    with matplotlib.rc_context(RC):
        fit(figure)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once for both
        drawn = {pdf: io.BytesIO(), png: io.BytesIO()}
        figure.savefig(drawn[pdf], format="pdf", metadata={"CreationDate": None})
        figure.savefig(drawn[png], format="png", metadata={"Software": None})
    # Only now: a figure that cannot be written must not end inside matplotlib.
    with writing(path.parent, OUT):
        path.parent.mkdir(parents=True, exist_ok=True)
        for file, content in drawn.items():
            put(file, content.getvalue())
        put(csv, data.to_csv(index=False, lineterminator="\n"))
    return [pdf, png, csv]

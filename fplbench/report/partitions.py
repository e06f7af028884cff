"""Who has which classes: a heat map of clients and classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from fplbench.records.record import Record
from fplbench.report.figures import about_lines
from fplbench.report.looks import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# More than these have no room for a name each.
MOST_CLASS_NAMES, MOST_CLIENT_NAMES = 15, 25


def counts(record: Record) -> tuple[np.ndarray, list[str]]:
    """Training images [clients, classes] and the classes, as `in_order` has them."""
    classes = in_order(record.label_counts)
    table = [[one.get(name, 0) for name in classes] for one in record.label_counts]
    return np.array(table, dtype=int).reshape(len(table), len(classes)), classes


def in_order(held: Sequence[Iterable[str]]) -> list[str]:
    """All names, the first client's first, but none before one that some client names earlier: each
    client has its classes in the data set's order, and none has to have all."""
    waits: dict[str, set[str]] = {name: set() for one in held for name in one}
    for one in held:
        for before, name in pairwise(one):
            waits[name].add(before)
    found: list[str] = []
    while waits:
        # Of names that go round in a circle, which no record of ours has, the first.
        free = next((name for name in waits if not waits[name] & waits.keys()), next(iter(waits)))
        found.append(free)
        del waits[free]
    return found


def draw(record: Record, data: str, name: Path) -> list[Path]:
    """The partition of a cell; of all methods with its seed, since they share it."""
    table, classes = counts(record)
    if not table.size:
        return []
    clients = len(table)
    named = clients <= MOST_CLIENT_NAMES
    figure, (panel,) = new_figure(1, 1, min(4.5, 1.0 + (0.12 * clients if named else 1.6)))
    holdings(figure, panel, record)
    about_lines(
        figure, [f"{data}: training images of each client, seed {record.seed}; white: none"]
    )
    drawn = pd.DataFrame(table, columns=classes)
    drawn.insert(0, "client", record.clients, allow_duplicates=True)
    return save(figure, name.with_name(f"{name.name}-partition"), drawn)


def holdings(
    figure: Figure, panel: Axes, record: Record, bar: Literal["vertical", "horizontal"] = "vertical"
) -> tuple[np.ndarray, list[str]]:
    """The heat map of `counts`, which it returns, with its bar at the right or above it."""
    table, classes = counts(record)
    clients = len(table)
    image = panel.imshow(
        np.where(table > 0, table, np.nan),
        cmap="viridis_r",
        vmin=0,
        vmax=table.max(),
        aspect="auto",
        interpolation="nearest",
    )
    panel.grid(visible=False)
    if clients <= MOST_CLIENT_NAMES:
        panel.set_yticks(range(clients), _short(record.clients))
        panel.tick_params(axis="y", labelsize=6)
    else:
        panel.yaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_ylabel(f"client (of {clients})")
    if len(classes) <= MOST_CLASS_NAMES:
        panel.set_xticks(range(len(classes)), _short(classes), rotation=45, ha="right")
    else:
        panel.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        panel.set_xlabel(f"class (of {len(classes)})")
    place = "right" if bar == "vertical" else "top"
    scale = figure.colorbar(image, ax=panel, pad=0.02, orientation=bar, location=place)
    scale.set_label("training images")
    scale.outline.set_visible(False)
    ticks = scale.ax.yaxis if bar == "vertical" else scale.ax.xaxis
    ticks.set_major_locator(MaxNLocator(nbins=5, integer=True))
    return table, classes


def _short(names: Sequence[str]) -> list[str]:
    return [name if len(name) <= 18 else f"{name[:17]}…" for name in names]

"""Who holds what beside who gains what: clients' training images, and what methods bring them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fplbench.records.record import Record
from fplbench.report.figures import about_lines, rows_of
from fplbench.report.groups import Group
from fplbench.report.looks import new_figure, save
from fplbench.report.partitions import holdings
from fplbench.report.published import words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONG = 18
"""A label with more letters stands above the panels, and its number below them."""


def draw(group: Group, data: str, record: Record, frame: pd.DataFrame, name: Path) -> list[Path]:
    """NAME-gains: a row of both panels is a client, of the record's seed, whose partition it is.

    frame: rows of load_clients with the column "row", of the group's cells on the data set. A gain
    is over the method that trains nothing, or where there is none over the mean of all methods.
    """
    mine = frame[(frame["metric"] == "local") & (frame["seed"] == record.seed)]
    wide = mine.pivot_table(index="client", columns="row", values="value")
    wide = wide.reindex(list(dict.fromkeys(record.clients)))
    rows = [row for row in rows_of(group, mine) if row in wide]
    if len(rows) < 2 or len(wide) != len(record.clients):
        return []
    base = _untrained(group, rows)
    gains = wide[rows].sub(wide[rows].mean(axis=1) if base is None else wide[base], axis=0)
    gains = gains.drop(columns=[] if base is None else [base])
    if group.scale.lower_is_better:
        gains = -gains
    longest = max(len(str(row)) for row in gains)
    numbered = longest > LONG
    height = 1.5 + 0.12 * min(len(wide), 20) + (0.0 if numbered else 0.035 * longest)
    figure, (left, right) = new_figure(1, 2, height)
    table, classes = holdings(figure, left, record, "horizontal")
    _gains(figure, right, gains, numbered)
    right.set_yticks([])
    over = "the mean of all methods" if base is None else base
    what = f"training images of each client; gain in local {group.scale.title} over {over}"
    names = [f"{number}: {row}" for number, row in enumerate(gains, 1)] if numbered else []
    about_lines(figure, [f"{data}: {what}, seed {record.seed}", *names])
    drawn = pd.DataFrame(table, columns=[f"images of {name}" for name in classes])
    drawn.insert(0, "client", record.clients, allow_duplicates=True)
    more = gains.add_prefix("gain of ").reset_index(drop=True)
    return save(figure, name.with_name(f"{name.name}-gains"), pd.concat([drawn, more], axis=1))


def _untrained(group: Group, rows: list[str]) -> str | None:
    """A row whose method trains nothing: the one that papers set others beside, if it is there."""
    frame = group.frame
    still = set(frame.loc[frame["trainable_parameters"] == 0, "row"])
    found = [row for row in rows if row in still]
    usual = [row for row in found if group.methods[row] == words().untrained]
    return next(iter([*usual, *found]), None)


def _gains(figure: Figure, panel: Axes, gains: pd.DataFrame, numbered: bool) -> None:
    """Losses and gains of a size are as dark; the colours are told apart with any colour vision."""
    values = gains.to_numpy(dtype=float)
    most = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    image = panel.imshow(
        values, cmap="PuOr", vmin=-most, vmax=most, aspect="auto", interpolation="nearest"
    )
    panel.grid(visible=False)
    if numbered:
        panel.set_xticks(range(gains.shape[1]), [str(n) for n in range(1, gains.shape[1] + 1)])
    else:
        panel.set_xticks(
            range(gains.shape[1]), [str(row) for row in gains], rotation=45, ha="right"
        )
    panel.tick_params(axis="x", labelsize=6)
    bar = figure.colorbar(image, ax=panel, orientation="horizontal", location="top", pad=0.02)
    bar.set_label("gain (points)")
    bar.outline.set_visible(False)

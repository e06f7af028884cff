"""What membership inference found: a table for the screen, and a file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fplbench.records.atomic import OUT, writing

FILE = "membership.csv"
WORDS = (
    "AUC: how well it is guessed which half of its clients' images a model was trained on, the "
    "area under the ROC curve; 0.5 is chance, 1 a guess that is always right. Loss: by the loss "
    "alone; likelihood: LiRA, by what the other federations of the same cell show of each image. "
    "Mean ± standard deviation over {} federations, each attacked in turn. Epsilon: of a "
    "federation of halves, where a strategy counts it."
)


def screen(table: pd.DataFrame) -> RenderableType:
    """table: of `grid.attack.attacked`."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    shown.add_column("cell", overflow="fold")
    for head in ("epsilon", "AUC, loss", "AUC, likelihood", "images"):
        shown.add_column(head, justify="right")
    for _, row in table.iterrows():
        shown.add_row(
            Text(str(row["cell"])),
            "none" if pd.isna(row["epsilon"]) else f"{row['epsilon']:.3g}",
            *(f"{row[by]:.3f} ± {row[f'{by}_std']:.3f}" for by in ("loss", "likelihood")),
            str(row["images"]),
        )
    return Group(shown, Text(WORDS.format(table["federations"].max()), style="dim"))


def write(table: pd.DataFrame, folder: Path) -> Path:
    """The same numbers as CSV."""
    with writing(folder, OUT):
        folder.mkdir(parents=True, exist_ok=True)
        table.to_csv(folder / FILE, index=False)
    return folder / FILE

"""How cells of the reference show in a table: a sign at their rows, and notes below it.

cells: one row a cell, indexed by id, with the columns "row" and "column" of a group and those
that `reference.beside` adds.
"""

from __future__ import annotations

import pandas as pd

SIGN = "‡"
TOLERANCE = 0.5
"""Points that a seed's headline number may differ by on another machine; where it differs more,
training is unstable there (docs/protocol.md, point 11) or something is not the same."""
MOST = 4


def signed(cells: pd.DataFrame) -> pd.Series[str]:
    """The rows' labels, with a sign at those that are the reference's alone."""
    if "reference" not in cells:
        return cells["row"]
    theirs = cells.groupby("row")["reference"].transform("all").astype(bool)
    return cells["row"].where(~theirs, cells["row"] + f" {SIGN}")


def notes(cells: pd.DataFrame) -> list[str]:
    """What is the reference's, and how far cells lie from it that were run here too."""
    if "reference" not in cells or not cells["reference"].any() | cells["apart"].notna().any():
        return []
    found = []
    if cells["row"].str.endswith(SIGN).any():
        found.append(
            f"{SIGN}: from the reference results, on the same data, settings and seeds; not run "
            "here."
        )
    for row, part in cells.groupby("row", sort=False):
        if part["reference"].any() and not part["reference"].all():
            seeds = sorted({int(seed) for seed in part.loc[part["reference"], "seed"]})
            found.append(f"{row}: some cells are the reference's (seed {_listed(seeds)}).")
    return found + _agreement(cells[cells["apart"].notna()])


def _agreement(both: pd.DataFrame) -> list[str]:
    """both: the cells that are in the reference too."""
    if both.empty:
        return []
    beyond = both[both["apart"] > TOLERANCE].sort_values("apart", ascending=False)
    if beyond.empty:
        return [
            f"{len(both)} of the cells run here are in the reference too and agree with it within "
            f"{both['apart'].max():.2f} points."
        ]
    named = [
        f"{cell['row']} on {cell['column']}, seed {cell['seed']} ({cell['apart_in']})"
        for _, cell in beyond.head(MOST).iterrows()
    ]
    more = f"; and {len(beyond) - MOST} more" if len(beyond) > MOST else ""
    return [
        f"Of {len(both)} cells that are in the reference too, {len(beyond)} "
        f"{'lies' if len(beyond) == 1 else 'lie'} more than {TOLERANCE} points from it, which is "
        f"more than another machine's rounding should move: {'; '.join(named)}{more}."
    ]


def _listed(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds))

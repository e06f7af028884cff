"""What tables say of settings that `fplbench tune` chose: the rule, and what it found."""

from __future__ import annotations

import pandas as pd

from fplbench.records.phrases import and_
from fplbench.report.groups import CHOSEN, OPTIMIZER, Group, is_chosen, show


def rules(group: Group) -> list[str]:
    """Clauses of a caption: by what rule rows that are called tuned were."""
    cells = group.frame.drop_duplicates("id")
    if CHOSEN not in cells:
        return []
    chosen = cells[is_chosen(cells)]
    each: dict[str, list[str]] = {}
    for row, rule in chosen[["row", CHOSEN]].drop_duplicates().itertuples(index=False):
        each.setdefault(str(rule), []).append(str(row))
    if len(each) == 1:
        return [f"tuned: {rule}" for rule in each]
    return [f"{and_(rows)}: {rule}" for rule, rows in each.items()]


def notes(cells: pd.DataFrame) -> list[str]:
    """The settings of tuned rows that are not the defaults. cells: one row a cell of a group."""
    found: dict[str, dict[str, None]] = {}
    for _, cell in cells[is_chosen(cells)].iterrows():
        names = [
            name
            for name in str(cell["changed"] or "").split("\n")
            if name.startswith("set.") or (name in OPTIMIZER and name != CHOSEN)
        ]
        words = ", ".join(f"{name.partition('.')[2]} {show(cell[name])}" for name in names)
        where = found.setdefault(f"{cell['row']}: {words or 'the defaults'}", {})
        where[str(cell["column"])] = None
    every = {column for columns in found.values() for column in columns}
    said = [
        text if len(columns) == len(every) else f"{text} ({and_(list(columns))})"
        for text, columns in found.items()
    ]
    return [f"{'; '.join(said)}."] if said else []

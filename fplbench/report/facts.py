"""What strategies say of their runs, as notes below a table.

A fact is a line of a record that no setting says (`plugins.base.Fact`): a privacy budget, who
attacks. Its words are the record's own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

from fplbench.plugins.base import Fact
from fplbench.records.phrases import and_
from fplbench.report.groups import show


def of_cell(text: object) -> dict[str, Fact]:
    """The facts of a cell, from the column "facts" of the tidy table."""
    return {name: Fact(**fields) for name, fields in json.loads(str(text)).items()}


def notes(cells: pd.DataFrame) -> list[str]:
    """A line for each row of a table that has facts, then what a reader needs beside them.

    cells: one row of the group's frame for each cell.
    """
    lines: list[str] = []
    meanings: dict[str, list[str]] = {}
    several = cells["column"].nunique() > 1
    for (row, column), part in cells.groupby(["row", "column"], sort=False):
        found = [of_cell(text) for text in part["facts"]]
        label = f"{row}, {column}" if several else str(row)
        named = {name: one for facts in found for name, one in facts.items()}
        values = [
            f"{one.title} {_values([facts[name].value for facts in found if name in facts])}"
            for name, one in named.items()
        ]
        if values:
            lines.append(f"{label}: {'; '.join(values)}.")
        for one in named.values():
            if one.meaning and label not in meanings.setdefault(one.meaning, []):
                meanings[one.meaning].append(label)
    return [*lines, *(f"{and_(of)}: {words}" for words, of in meanings.items())]


def _values(values: Sequence[int | float | str]) -> str:
    """One value, or the range of the seeds'."""
    numbers = [value for value in values if not isinstance(value, str)]
    if len(set(values)) == 1 or len(numbers) < len(values):
        return " or ".join(dict.fromkeys(_short(value) for value in values))
    low, high = _short(min(numbers)), _short(max(numbers))
    return low if low == high else f"{low} to {high}"


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else show(float(f"{value:.3g}"))

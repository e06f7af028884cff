"""What metrics are called and mean: as the records say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pandas as pd

from fplbench.records import record
from fplbench.report.entries import COSTS

About = Mapping[str, record.About]
"""Metric -> what it is called, in the order of tables."""


def about(cells: pd.DataFrame) -> About:
    """What the cells say of their metrics; of two that differ the later one counts. cells: rows of
    the tidy table, the latest last."""
    found: dict[str, record.About] = {}
    for text in reversed(list(dict.fromkeys(cells["about"]))):
        for name, fields in json.loads(text).items():
            found.setdefault(name, record.About(**fields))
    return found


def headline(cells: pd.DataFrame) -> list[str]:
    """The metrics of the main table, by the latest of the cells."""
    text = str(cells["headline"].iloc[-1])
    return text.split("\n") if text else []


def title(quantity: str, about: About) -> str:
    """The head of a column."""
    if quantity in COSTS:
        return COSTS[quantity][0]
    known = about.get(quantity)
    return known.title if known else quantity.removeprefix("domain/")


def meanings(quantities: Sequence[str], about: About) -> list[str]:
    """A note on the heads that do not explain themselves; heads that mean the same share it."""
    heads: dict[str, list[str]] = {}
    for name in dict.fromkeys(quantities):
        if name in about and about[name].meaning:
            heads.setdefault(about[name].meaning, []).append(about[name].title)
    found = [f"{', '.join(titles)}: {meaning}" for meaning, titles in heads.items()]
    return [f"{'. '.join(found)}."] if found else []

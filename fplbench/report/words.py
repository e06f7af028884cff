"""What metrics and measures are called and mean: as the records say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from fplbench.records import record
from fplbench.report.entries import COSTS

About = Mapping[str, record.About]
"""Metric -> what it is called, in the order of tables."""
Scales = Mapping[str, record.Scale]
"""Metric -> how its numbers are read."""


def about(cells: pd.DataFrame) -> About:
    """What the cells say of their metrics; of two that differ the later one counts. cells: rows of
    the tidy table, the latest last."""
    found: dict[str, record.About] = {}
    for text in reversed(list(dict.fromkeys(cells["about"]))):
        for name, fields in json.loads(text).items():
            found.setdefault(name, record.About(**fields))
    return found


def scales(cells: pd.DataFrame) -> Scales:
    """How each metric of the cells is read; of two that differ the later one counts."""
    measures: dict[str, record.Scale] = {}
    for text in reversed(list(dict.fromkeys(cells["scales"]))):
        for name, fields in json.loads(text).items():
            measures.setdefault(name, record.Scale(**fields))
    pairs = cells[["metric", "measure"]].dropna().drop_duplicates()
    return {
        str(metric): measures[str(measure)]
        for metric, measure in zip(pairs["metric"], pairs["measure"], strict=True)
    }


def scale(cells: pd.DataFrame) -> record.Scale:
    """Of cells whose numbers are all of one measure; the later of two counts."""
    return record.Scale(**_told(cells)[-1])


def measured(cells: pd.DataFrame) -> bool:
    """Whether any of these cells is no record from before their measure was there."""
    return bool(_told(cells))


def _told(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """What the records say of the cells' one measure, in their order."""
    name = str(cells["measure"].iloc[-1])
    found = (json.loads(text) for text in dict.fromkeys(cells["scales"]))
    return [measures[name] for measures in found if name in measures]


def in_words(scale: record.Scale, several: bool = False) -> str:
    """A measure with its unit, as in the middle of a sentence."""
    title = scale.plural if several and scale.plural else scale.title
    unit = {"%": " in percent", "": ""}.get(scale.unit, f" in {scale.unit}")
    return title + unit


def axis(scale: record.Scale) -> str:
    """A measure with its unit, beside an axis."""
    return f"{scale.title} ({scale.unit})" if scale.unit else scale.title


def explained(scale: record.Scale) -> str:
    """A note on a measure that is not accuracy."""
    best = "; lower is better" if scale.lower_is_better else ""
    return f"{scale.short}: {scale.title}, {scale.meaning}{best}."


def headline(cells: pd.DataFrame) -> list[str]:
    """The metrics of the main table, by the latest of the cells."""
    text = str(cells["headline"].iloc[-1])
    return text.split("\n") if text else []


def title(quantity: str, about: About) -> str:
    """The head of a column."""
    if quantity in COSTS:
        return COSTS[quantity][0]
    known = about.get(quantity)
    if known:
        return known.title
    kind, _, domain = quantity.partition("/")
    return {"domain": domain, "unseen": f"{domain} (unseen)"}.get(kind, quantity)


def meanings(quantities: Sequence[str], about: About) -> list[str]:
    """A note on the heads that do not explain themselves; heads that mean the same share it."""
    heads: dict[str, list[str]] = {}
    for name in dict.fromkeys(quantities):
        if name in about and about[name].meaning:
            heads.setdefault(about[name].meaning, []).append(about[name].title)
    found = [f"{', '.join(titles)}: {meaning}" for meaning, titles in heads.items()]
    return [f"{'. '.join(found)}."] if found else []

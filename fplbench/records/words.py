"""Words: what a new record keeps of them for reports, and how several are joined."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fplbench.plugins.measure import Measure
from fplbench.records import summary
from fplbench.records.record import About, Scale
from fplbench.scenario import Scenario


def said(scenario: Scenario, names: Iterable[str]) -> dict[str, Any]:
    """Fields of a record. names: of the metrics that were measured or mean nothing."""
    asked = {*names, *scenario.headline}
    titles = {**summary.TITLES, **scenario.titles}
    meanings = {**summary.MEANINGS, **scenario.meanings}
    return {
        "headline": list(scenario.headline),
        "trade_off": list(scenario.trade_off),
        "words": scenario.describe(),
        "about": {
            name: About(title=title, meaning=meanings.get(name, ""))
            for name, title in titles.items()
            if name in asked
        },
    }


def scale(measure: type[Measure]) -> Scale:
    """What a record keeps of a measure."""
    return Scale(**{name: getattr(measure, name) for name in Scale.model_fields})


def and_(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)

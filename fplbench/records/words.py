"""What a new record keeps for reports: the words of its scenario and the names of its metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fplbench import metrics
from fplbench.records.record import About
from fplbench.scenario import Scenario


def said(scenario: Scenario, names: Iterable[str]) -> dict[str, Any]:
    """Fields of a record. names: of the metrics that were measured or mean nothing."""
    asked = {*names, *scenario.headline}
    titles = {**metrics.TITLES, **scenario.titles}
    meanings = {**metrics.MEANINGS, **scenario.meanings}
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

"""What a record says itself, so that reports need no plug-in: titles, meanings, scales."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fplbench.plugins.measure import Measure
from fplbench.records import summary
from fplbench.records.record import About, Scale
from fplbench.scenario import NEW, TUNED, Scenario


def said(scenario: Scenario, names: Iterable[str]) -> dict[str, Any]:
    """Fields of a record. names: of the metrics that were measured or mean nothing."""
    asked = {*names, *scenario.headline}
    titles = _of_new({**summary.TITLES, **scenario.titles}, "New", "Tuned", " ")
    meanings = _of_new(
        dict.fromkeys(titles, "") | summary.MEANINGS | dict(scenario.meanings),
        "clients that took no part in training",
        "those clients, after local epochs of their own",
        "; ",
    )
    new = [f"{kind}{name}" for kind in (NEW, TUNED) for name in scenario.headline]
    return {
        "headline": [*scenario.headline, *(name for name in new if name in asked)],
        "trade_off": list(scenario.trade_off),
        "words": scenario.words(),
        "about": {
            name: About(title=title, meaning=meanings.get(name, ""))
            for name, title in titles.items()
            if name in asked
        },
    }


def _of_new(words: Mapping[str, str], new: str, tuned: str, between: str) -> dict[str, str]:
    """Words of questions, and of the same questions put to new clients."""
    found = dict(words)
    for kind, before in ((NEW, new), (TUNED, tuned)):
        found |= {f"{kind}{n}": f"{before}{between}{w}" if w else before for n, w in words.items()}
    return found


def scale(measure: type[Measure]) -> Scale:
    """What a record keeps of a measure."""
    return Scale(**{name: getattr(measure, name) for name in Scale.model_fields})

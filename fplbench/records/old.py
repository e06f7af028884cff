"""What reports say of records from before records said it themselves (schemas 1 and 2), and the
worst client of those that knew no measure but accuracy (schemas 3 and 4 too).

Frozen: these are the words of then, and stay as they are when the code's change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import JsonValue

from fplbench.records.record import About, Metric, Record, Scale

FILLED_IN = {
    3: frozenset({"headline", "trade_off", "words", "about"}),
    5: frozenset({"measures", "measured"}),
    6: frozenset({"facts"}),
}
"""The first schema whose records have these fields themselves -> the fields."""

HEADLINES = {
    "base2novel": ["local", "base", "novel", "hm", "cm"],
    "personal": ["local", "global"],
    "pathological": ["local", "all", "neighbor", "global"],
    "iid": ["local", "global"],
    "domains": ["domains", "global_domains", "hold_out", "global_hold_out"],
}
TRADE_OFFS = {"base2novel": ["local", "novel"], "domains": ["domains", "global_domains"]}
_SHARED = "the shared prompt alone, on the test images of all clients"
ABOUT = {
    "local": About(title="Local"),
    "local_own": About(
        title="Own", meaning="as Local, but only the client's own classes can be answered"
    ),
    "base": About(title="Base"),
    "novel": About(title="Novel"),
    "all": About(title="All"),
    "neighbor": About(title="Neighb.", meaning="classes of the other clients"),
    "hm": About(title="HM", meaning="harmonic mean of Local, Base and Novel"),
    "hm_bn": About(title="HM b/n", meaning="harmonic mean of Base and Novel"),
    "cm": About(title="CM", meaning="mean of Local and the harmonic mean of Base and Novel"),
    "global": About(title="Global", meaning=_SHARED),
    "global_novel": About(title="Gl. nov.", meaning=_SHARED),
    "hold_out": About(title="Held out"),
    "global_hold_out": About(title="Gl. held out", meaning=_SHARED),
    "domains": About(title="Domains"),
    "global_domains": About(title="Gl. domains", meaning=_SHARED),
}

WORST = Scale(
    title="accuracy of the worst client",
    short="worst",
    meaning="the lowest of the accuracies that other tables have the mean of",
)

OFF: Mapping[str, JsonValue] = {
    "new_clients": 0.0,
    "new_client_epochs": 2,
    "evaluated_clients": 0,
    "chosen_by": "",
}
"""What the training had in effect before it had these options, which no id holds while they are
off: a record from then is of the same cell as one of today."""

Settings = Mapping[str, JsonValue]


def _by_class(settings: Settings) -> str:
    return f"{settings['clients']} clients with classes of their own, {settings['shots']} shots"


def _personal(settings: Settings) -> str:
    return f"{settings['clients']} clients, Dirichlet({settings['alpha']:g}){_shots(settings)}"


def _iid(settings: Settings) -> str:
    return f"{settings['clients']} clients, evenly dealt{_shots(settings)}"


def _domains(settings: Settings) -> str:
    count, held = settings["clients_per_domain"], settings["hold_out"]
    words = (
        "a client a domain"
        if count == 1
        else f"{count} clients a domain, Dirichlet({settings['alpha']:g})"
    )
    return words + _shots(settings) + ("" if held is None else f", {held} held out")


def _shots(settings: Settings) -> str:
    return "" if settings["shots"] is None else f", {settings['shots']} shots"


WORDS: dict[str, Callable[[Settings], str]] = {
    "base2novel": _by_class,
    "pathological": _by_class,
    "personal": _personal,
    "iid": _iid,
    "domains": _domains,
}


def filled_in(schema: int) -> frozenset[str]:
    """The fields that records of a schema are given here."""
    return frozenset[str]().union(*(names for first, names in FILLED_IN.items() if schema < first))


def completed(record: Record) -> Record:
    """The record with what reports need of it; what it says itself is left alone."""
    missing = {name: value for name, value in OFF.items() if name not in record.training}
    fields: dict[str, Any] = {"training": {**record.training, **missing}}
    if "about" in filled_in(record.schema_version):
        fields |= _words(record)
    if "measured" in filled_in(record.schema_version) and (worst := _worst(record)):
        fields |= {"measures": {"worst": WORST}, "measured": {"worst": worst}}
    return record.model_copy(update=fields)


def _worst(record: Record) -> dict[str, Metric]:
    """The accuracy of the worst client, of what clients were asked one by one."""
    metrics = record.metrics
    found = {
        name: Metric(mean=one.worst, count=one.count)
        for name, one in metrics.items()
        if one.worst is not None and one.per_client is not None
    }
    domains = [one for name, one in found.items() if name.startswith("domain/")]
    if "domains" in metrics and domains:
        worst = min(one.mean for one in domains)
        found["domains"] = Metric(mean=worst, count=metrics["domains"].count)
    return found


def _words(record: Record) -> dict[str, Any]:
    headline = HEADLINES.get(record.scenario, [])
    names = {*headline, *record.metrics, *record.not_applicable}
    try:
        words = WORDS[record.scenario](record.scenario_settings)
    # Of another's scenario, from before a setting was there, or with a value of another type.
    except (KeyError, TypeError, ValueError):
        words = ""
    return {
        "headline": headline,
        "trade_off": TRADE_OFFS.get(record.scenario, ["local", "global"]),
        "about": {name: about for name, about in ABOUT.items() if name in names},
        "words": words,
    }

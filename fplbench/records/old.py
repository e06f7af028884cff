"""What reports say of records from before records said it themselves (schemas 1 and 2).

Frozen: these are the words of then, and stay as they are when the code's change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import JsonValue

from fplbench.records.record import About, Record

SAYS_ITSELF = 3
"""The first schema whose records hold all that reports say."""
FILLED_IN = frozenset({"headline", "trade_off", "words", "about"})
"""The fields that older records are given here."""

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


def completed(record: Record) -> Record:
    """The record with what reports need of it; one that says it itself is left alone."""
    if record.schema_version >= SAYS_ITSELF:
        return record
    headline = HEADLINES.get(record.scenario, [])
    names = {*headline, *record.metrics, *record.not_applicable}
    try:
        words = WORDS[record.scenario](record.scenario_settings)
    # Of another's scenario, from before a setting was there, or with a value of another type.
    except (KeyError, TypeError, ValueError):
        words = ""
    return record.model_copy(
        update={
            "headline": headline,
            "trade_off": TRADE_OFFS.get(record.scenario, ["local", "global"]),
            "about": {name: about for name, about in ABOUT.items() if name in names},
            "words": words,
        }
    )

"""The commands that make cells again, from their records."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import JsonValue

from fplbench.records.record import Record
from fplbench.spec import OWN


def command(record: Record) -> list[str]:
    """`fplbench run ...`, word by word, with every setting that was not the default of then; in
    records from before that was kept, with every setting."""
    return _words(_asked(record))


def lines(records: Iterable[Record]) -> list[str]:
    """The commands that make all of these again, each cell once and no other: one for the seeds of
    a setting, and for the methods and data sets that have the same seeds in the same setting."""
    asked = dict[_Asked, None]()
    by_seed: dict[_Asked, list[int]] = {}
    for record in records:
        one = _asked(record)
        by_seed.setdefault(replace(one, seeds=()), []).append(record.seed)
    for one, seeds in by_seed.items():
        asked[replace(one, seeds=tuple(sorted({*seeds})))] = None
    return [shlex.join(_words(one)) for one in _joined(_joined(asked, "methods"), "datasets")]


def line(record: Record) -> str:
    """`command`, for a shell."""
    return shlex.join(command(record))


@dataclass(frozen=True)
class _Asked:
    """What a command asks for. own: settings of single methods; shared: of all; as --set has
    them."""

    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    scenario: str
    backbone: str
    strategy: str
    seeds: tuple[int, ...]
    own: tuple[str, ...]
    shared: tuple[str, ...]


def _asked(record: Record) -> _Asked:
    (_, own), *others = (
        (owner, tuple(f"{owner}{name}={_written(value)}" for name, value in settings.items()))
        for owner, settings in _owners(record)
    )
    return _Asked(
        methods=(record.method,),
        datasets=(record.dataset,),
        scenario=record.scenario,
        backbone=record.backbone,
        strategy=record.strategy,
        seeds=(record.seed,),
        own=own,
        shared=tuple(word for _, words in others for word in words),
    )


def _joined(asked: Iterable[_Asked], axis: Literal["methods", "datasets"]) -> list[_Asked]:
    """Those that differ in one axis alone, as one. A method with settings of its own is joined by
    others, but never by the same with other settings."""
    found: list[_Asked] = []
    for one in asked:
        for place, there in enumerate(found):
            if _but(there, axis) == _but(one, axis) and not {*getattr(there, axis)} & {
                *getattr(one, axis)
            }:
                both: dict[str, Any] = {axis: (*getattr(there, axis), *getattr(one, axis))}
                both["own"] = tuple(dict.fromkeys((*there.own, *one.own)))
                found[place] = replace(there, **both)
                break
        else:
            found.append(one)
    return found


def _but(one: _Asked, axis: str) -> _Asked:
    """Without an axis; and without what belongs to its methods, where these are the axis."""
    gone: dict[str, Any] = {axis: (), **({"own": ()} if axis == "methods" else {})}
    return replace(one, **gone)


def _words(asked: _Asked) -> list[str]:
    words = ["fplbench", "run", "--methods", _list(asked.methods)]
    words += ["--datasets", _list(asked.datasets), "--scenario", asked.scenario]
    words += ["--seeds", _list(asked.seeds), "--backbone", asked.backbone]
    if asked.strategy != OWN:
        words += ["--strategies", asked.strategy]
    return words + [word for each in (*asked.own, *asked.shared) for word in ("--set", each)]


def _list(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


def _owners(record: Record) -> Iterator[tuple[str, Mapping[str, JsonValue]]]:
    """What stands before a setting's name in --set, and the settings to name."""
    groups = (
        ("set.", f"{record.method}.", record.settings),
        (f"set.{record.strategy}.", f"{record.strategy}.", record.strategy_settings),
        ("scen.", f"{record.scenario}.", record.scenario_settings),
        ("train.", "", record.training),
    )
    for group, owner, settings in groups:
        named = {
            name: value
            for name, value in settings.items()
            if record.changed is None or f"{group}{name}" in record.changed
        }
        yield owner, named


def _written(value: JsonValue) -> str:
    """As `--set` reads it: a text in quotation marks, so that nothing is taken for something
    else."""
    return json.dumps(value, ensure_ascii=False)

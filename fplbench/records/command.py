"""The command that makes a cell again, from its record."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from fplbench.records.record import Record
from fplbench.spec import OWN


def command(record: Record) -> list[str]:
    """`fplbench run ...`, word by word, with every setting that was not the default of then; in
    records from before that was kept, with every setting."""
    words = ["fplbench", "run", "--methods", record.method, "--datasets", record.dataset]
    words += ["--scenario", record.scenario, "--seeds", str(record.seed)]
    words += ["--backbone", record.backbone]
    if record.strategy != OWN:
        words += ["--strategies", record.strategy]
    for owner, settings in _owners(record):
        for name, value in settings.items():
            words += ["--set", f"{owner}{name}={_written(value)}"]
    return words


def line(record: Record) -> str:
    """`command`, for a shell."""
    return shlex.join(command(record))


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

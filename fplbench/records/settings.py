"""A record's settings and identities as columns of a table."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import JsonValue

from fplbench.records.record import Record
from fplbench.spec import OWN

Row = dict[str, JsonValue]


def settings_of(record: Record) -> Row:
    """A cell's settings and identities, by their columns in the tables."""
    travel: dict[str, JsonValue] = {}
    if record.strategy != OWN:  # tables tell variants of a method apart by its settings
        travel["strategy"] = record.strategy
        for name, setting in record.strategy_settings.items():
            if f"set.{record.strategy}.{name}" in (record.changed or ()):
                travel[f"{record.strategy}.{name}"] = setting
    own: dict[str, JsonValue] = {**record.settings, **travel}
    groups: dict[str, Mapping[str, JsonValue]] = {
        "set": own,
        "scen": record.scenario_settings,
        # Where nobody chose the settings there is no rule, as in records from before it was kept.
        "train": {n: v for n, v in record.training.items() if n != "chosen_by" or v},
        "ident": {"protocol": record.protocol, **record.identity},
    }
    return {
        f"{prefix}.{name}": json.dumps(value) if isinstance(value, list | dict) else value
        for prefix, group in groups.items()
        for name, value in group.items()
    }

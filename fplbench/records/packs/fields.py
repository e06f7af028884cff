"""What a pack keeps of a record: no label counts, no code, no path of the machine; numbers and
seconds rounded, and single clients' numbers of accuracies alone."""

from __future__ import annotations

from typing import Any

from fplbench.records.old import filled_in
from fplbench.records.record import Record

LEFT_OUT = frozenset({"label_counts", "code", "started"})
"""Fields of a record that are large, or that tell nobody else anything."""

Fields = dict[str, Any]


def packed_fields(record: Record) -> Fields:
    """As JSON; `record_of` reads it."""
    without = LEFT_OUT | filled_in(record.schema_version)
    fields = record.model_dump(by_alias=True, exclude_defaults=True, exclude=set(without))
    fields["schema"] = record.schema_version
    if "error" in fields:
        fields["error"].pop("traceback", None)  # paths of the machine that ran it
    others = fields.get("measured", {}).values()
    for metric in (metric for questions in others for metric in questions.values()):
        metric.pop("per_client", None)
    for metric in (m for each in (fields.get("metrics", {}), *others) for m in each.values()):
        metric |= {name: _round(metric[name], 3) for name in metric if name != "count"}
        if "per_client" in metric:
            metric["per_client"] = [_round(value, 2) for value in metric["per_client"]]
    if "times" in fields:
        fields["times"] = {name: _round(value, 3) for name, value in fields["times"].items()}
    if "round_seconds" in fields:
        fields["round_seconds"] = [_round(value, 4) for value in fields["round_seconds"]]
    return fields


def _round(value: Any, decimals: int) -> Any:
    return round(value, decimals) if isinstance(value, float) else value

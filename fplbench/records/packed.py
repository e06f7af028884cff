"""Many records as one file of JSON-lines, to be committed or published: no tensors, no histories.

The first line says what the file is, how many cells follow and what all of them share; every
other line is a cell with the rest of its record. What is left out stands in LEFT_OUT (and single
clients' numbers, but for accuracies), and numbers and seconds are rounded. A name that ends in .gz
makes it a sixth as large: some hundred cells are then some hundred kilobytes.
"""

from __future__ import annotations

import codecs
import gzip
import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from fplbench.errors import UserError
from fplbench.records.old import filled_in
from fplbench.records.record import Record
from fplbench.records.store import OtherSchema, Problem, read_history, reason, record_of

SUFFIX, COMPRESSED = ".jsonl", ".jsonl.gz"
FORMAT = 1
GZIP = b"\x1f\x8b"
BROKEN = (OSError, EOFError, zlib.error)
"""What gzip raises of a file that is not whole."""
LEFT_OUT = frozenset({"label_counts", "code", "started"})
"""Fields of a record that are large, or that tell nobody else anything."""
OPEN = ("settings", "scenario_settings", "training", "identity", "versions", "hardware")
"""Fields whose entries are shared one by one."""

Fields = dict[str, Any]


def write(records: Sequence[Record], file: Path) -> Path:
    """Write the cells into a file, whole or not at all. Its lines are ordered by what they are
    of, so that two versions of the file can be compared."""
    if not file.name.endswith((SUFFIX, COMPRESSED)):
        raise UserError(
            f"{file}: packed records are found by their ending, so name it *{SUFFIX} or "
            f"*{COMPRESSED}."
        )
    ordered = sorted(records, key=lambda r: (r.scenario, r.dataset, r.method, r.seed, r.id))
    lines = [_fields(record) for record in ordered]
    shared = _shared(lines)
    first = {"packed": FORMAT, "cells": len(lines), "shared": shared}
    text = "".join(_json(line) + "\n" for line in [first, *(_less(one, shared) for one in lines)])
    data = text.encode("utf-8", errors="backslashreplace")
    if file.name.endswith(COMPRESSED):
        data = gzip.compress(data, mtime=0)  # the same records, the same bytes
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(data)
        os.replace(aside, file)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}; choose another name.") from error
    return file


def outcomes(path: Path) -> list[tuple[Path, Record | Problem]]:
    """The cells of a packed file, or of those that lie in a folder itself.

    Not of those further down: a reference among one's own results must not mix with them.
    """
    if path.is_dir():
        named = [*path.glob(f"*{SUFFIX}"), *path.glob(f"*{COMPRESSED}")]
        files = [file for file in sorted(named) if is_packed(file)]
    elif is_packed(path):
        files = [path]
    else:
        raise UserError(f"{path} is no file of packed records; `fplbench pack` writes such.")
    return [(file, outcome) for file in files for outcome in read(file)]


def is_packed(file: Path) -> bool:
    """Whether `write` made this file, be it whole or torn."""
    if not file.is_file():
        return False
    with open(file, "rb") as opened:
        first = opened.read(13)
    if first.startswith(GZIP):
        try:
            with gzip.open(file) as unpacked:
                first = unpacked.read(13)
        except BROKEN:  # torn before its first line: by its name it was one
            return file.name.endswith(COMPRESSED)
    return first.removeprefix(codecs.BOM_UTF8)[:10] == b'{"packed":'


def read(file: Path) -> list[Record | Problem]:
    """Every cell of a file, or why it cannot be read."""
    data = file.read_bytes()
    if data.startswith(GZIP):
        try:
            data = gzip.decompress(data)
        except BROKEN as error:
            return [_problem(file, 1, f"it cannot be unpacked: {error}")]
    # Not splitlines, which also cuts at characters that JSON may hold.
    text = data.decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    first, *lines = text.removesuffix("\n").split("\n")
    try:
        head = json.loads(first)
        if head["packed"] != FORMAT:
            return [_problem(file, 1, f"its format is {head['packed']}, not {FORMAT}")]
        cells, shared = int(head["cells"]), dict(head["shared"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        return [_problem(file, 1, f"no JSON of packed records: {error}")]
    found = [_read_line(file, place, line, shared) for place, line in enumerate(lines, 2)]
    if len(lines) != cells:
        found.append(_problem(file, 1, f"it counts {cells} cells and {len(lines)} follow"))
    return found


def history_of(place: Path) -> pd.DataFrame:
    """A row a round of a cell's folder; no row of a cell from a packed file, which has none."""
    return pd.DataFrame({"round": []}) if place.is_file() else read_history(place)


def _read_line(file: Path, place: int, line: str, shared: Fields) -> Record | Problem:
    try:
        own = dict(json.loads(line))
        fields = {**shared, **own}
        fields |= {name: {**shared.get(name, {}), **own.get(name, {})} for name in OPEN}
        return record_of(fields)
    except OtherSchema as error:
        return Problem(
            file,
            f"{file}, line {place}, cannot be read by this version of fplbench ({error}): read it "
            "with the version that wrote it, or upgrade; keep it",
        )
    except ValidationError as error:
        return _problem(file, place, reason(error))
    except (ValueError, TypeError, RecursionError) as error:
        return _problem(file, place, f"no JSON of a cell: {error}")


def _problem(file: Path, line: int, reason: str) -> Problem:
    return Problem(
        file,
        f"{file}, line {line}, is damaged ({reason}); take the file from its source again, or "
        "pack the records anew",
    )


def _fields(record: Record) -> Fields:
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


def _shared(lines: Sequence[Fields]) -> Fields:
    """What all cells have alike: whole fields, and single entries of those in OPEN."""
    if not lines:
        return {}
    first, *others = lines

    shared = _alike(first, others)
    for name in OPEN:
        shared.pop(name, None)
        entries = _alike(first.get(name, {}), [one.get(name, {}) for one in others])
        if entries:
            shared[name] = entries
    return shared


def _alike(first: Fields, others: Sequence[Fields]) -> Fields:
    """The entries that all have, with the same value."""
    return {
        name: value
        for name, value in first.items()
        if all(name in one and _json(one[name]) == _json(value) for one in others)
    }


def _less(fields: Fields, shared: Fields) -> Fields:
    """A cell without what is shared."""
    own: Fields = {}
    for name, value in fields.items():
        if name in OPEN:
            rest = {k: v for k, v in value.items() if k not in shared.get(name, {})}
            if rest:
                own[name] = rest
        elif name not in shared:
            own[name] = value
    return own


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

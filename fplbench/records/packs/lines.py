"""Packed records as JSON-lines, to be committed or published.

The first line says what the file is, how many cells follow, what all of them share, and who packed
which of them, where that is known; every other line is a cell with the rest of its record. A name
that ends in .gz makes it a sixth as large: some hundred cells are then some hundred kilobytes.
"""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from fplbench.records.packs.fields import Fields, packed_fields
from fplbench.records.record import Record
from fplbench.records.store import OtherSchema, Problem, reason, record_of

SUFFIX, COMPRESSED = ".jsonl", ".jsonl.gz"
SUFFIXES = (SUFFIX, COMPRESSED)
FORMAT = 1
GZIP = b"\x1f\x8b"
BROKEN = (OSError, EOFError, zlib.error)
"""What gzip raises of a file that is not whole."""
OPEN = ("settings", "scenario_settings", "training", "identity", "versions", "hardware")
"""Fields whose entries are shared one by one."""


def content(records: Sequence[Record], name: str) -> bytes:
    """The bytes of a file of this name; the same of the same records."""
    lines = [packed_fields(record) for record in records]
    shared = _shared(lines)
    first: Fields = {"packed": FORMAT, "cells": len(lines), "shared": shared}
    if sources := _places_of_sources(records):
        first["sources"] = sources
    text = "".join(_json(line) + "\n" for line in [first, *(_less(one, shared) for one in lines)])
    data = text.encode("utf-8", errors="backslashreplace")
    return gzip.compress(data, mtime=0) if name.endswith(COMPRESSED) else data


def is_one(file: Path) -> bool:
    """Whether `content` made this file, be it whole or torn."""
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
        cells, shared, sources = int(head["cells"]), dict(head["shared"]), _sources(head)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        return [_problem(file, 1, f"no JSON of packed records: {error}")]
    found = [
        _read_line(file, place + 2, line, shared, sources.get(place, ""))
        for place, line in enumerate(lines)
    ]
    if len(lines) != cells:
        found.append(_problem(file, 1, f"it counts {cells} cells and {len(lines)} follow"))
    return found


def _read_line(file: Path, place: int, line: str, shared: Fields, source: str) -> Record | Problem:
    try:
        own = dict(json.loads(line))
        fields = {**shared, **own}
        fields |= {name: {**shared.get(name, {}), **own.get(name, {})} for name in OPEN}
        return record_of(fields).model_copy(update={"source": source})
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


def _places_of_sources(records: Sequence[Record]) -> dict[str, list[int]]:
    """Who packed which cells, counted from 0 in the file's order."""
    found: dict[str, list[int]] = {}
    for place, record in enumerate(records):
        if record.source:
            found.setdefault(record.source, []).append(place)
    return found


def _sources(head: Fields) -> dict[int, str]:
    """A cell's place -> who packed it, from the first line."""
    found = dict(head.get("sources", {}))
    return {int(place): str(source) for source, places in found.items() for place in places}


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

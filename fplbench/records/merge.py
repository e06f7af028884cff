"""Packs and folders of results as one set of cells, each with where it came from.

A cell's id hashes all that decides its numbers, so two records of one id are one measurement made
twice: they must agree to what rounding does between machines, and one of them is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fplbench.errors import UserError
from fplbench.records.agreement import apart, furthest_first, of_headline
from fplbench.records.record import Record
from fplbench.records.results import read_all
from fplbench.records.starts import Found
from fplbench.records.store import Problem
from fplbench.spec import PROTOCOL

ROUNDING = 0.05
"""Points of a headline metric that two records of one cell may lie apart: half of the last digit
that tables print. Training on another machine may move more (docs/protocol.md), and is then named.
"""


@dataclass
class Merged:
    """records: each cell once, with its source. counts: of the cells of each path, in their order.
    twice: how many were there once more and agreed. conflicts: a sentence for each cell whose
    records do not agree; the first one of it is in `records`."""

    records: list[Record] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    twice: int = 0
    conflicts: list[str] = field(default_factory=list)


def merge(paths: Sequence[Path], without: Path | None = None) -> Merged:
    """The cells of all these. A cell without a source is given the name of its file, or of the
    path that its folder lies in. without: a file in one of the folders that is no part of it.

    UserError: something cannot be read, or is of another version of the protocol; a sentence each.
    """
    merged, problems, once = Merged(), list[str](), dict[str, tuple[Path, Record]]()
    for path in paths:
        found, unread = _read(path, None if path == without else without)
        problems += [*unread, *_of_other_protocols(path, found)]
        merged.counts.append(len(found))
        for place, record in found:
            _add(merged, once, place, record)
    if problems:
        raise UserError("\n".join([*problems, "Nothing was merged."]))
    merged.records = [record for _, record in once.values()]
    return merged


def _read(path: Path, without: Path | None) -> tuple[Found, list[str]]:
    """The cells of a path with their sources, and a sentence for what cannot be read."""
    outcomes = [each for each in read_all(path) if each[0] != without]
    name = path.resolve().name
    found = [
        (place, _with_source(record, place.name if place.is_file() else name))
        for place, record in outcomes
        if isinstance(record, Record)
    ]
    problems = [outcome.message for _, outcome in outcomes if isinstance(outcome, Problem)]
    if not outcomes:
        problems.append(f"There are no records under {path}: name a pack or a folder of results.")
    return found, problems


def _with_source(record: Record, name: str) -> Record:
    return record.model_copy(update={"source": record.source or name})


def _of_other_protocols(path: Path, found: Found) -> Iterator[str]:
    """A sentence for each."""
    protocols = [record.protocol for _, record in found]
    for other in sorted({*protocols} - {PROTOCOL}):
        yield (
            f"{path}: {protocols.count(other)} of its cells were measured by version {other} of "
            f"the protocol, which is {PROTOCOL} here (docs/protocol-history.md): their numbers are "
            "not of one kind, so leave them out or run them anew."
        )


def _add(merged: Merged, once: dict[str, tuple[Path, Record]], place: Path, record: Record) -> None:
    """Count a cell in. One that failed gives way to one that did not: it is no measurement."""
    if record.id not in once:
        once[record.id] = place, record
        return
    first, there = once[record.id]
    if record.status != there.status and "failed" in (record.status, there.status):
        merged.twice += 1
        if there.status == "failed":
            once[record.id] = place, record
    elif said := _disagreement(there, record):
        merged.conflicts.append(
            f"{record.id}: {said[0]} in {_from(first, there)}, {said[1]} in {_from(place, record)}"
        )
    else:
        merged.twice += 1


def _disagreement(one: Record, other: Record) -> tuple[str, str] | None:
    """What the two say, where that is not the same but for rounding."""
    if one.status != other.status:
        return one.status, other.status
    if one.status != "done":
        return None
    numbers = furthest_first(of_headline(one, other))
    if not numbers:
        mine, theirs = (", ".join(each.metrics) or "no metric" for each in (one, other))
        return None if mine == theirs else (mine, theirs)
    name, here, there = numbers[0]
    if round(apart(numbers[0]), 6) <= ROUNDING:
        return None
    return f"{name} {here:.2f}", f"{there:.2f}"


def _from(place: Path, record: Record) -> str:
    return str(place) if record.source == place.name else f"{place} ({record.source})"

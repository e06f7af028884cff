"""The reference results that come with the package, and a user's cells beside them.

A cell of the reference is taken where one of the user's has the same scenario, data, backbone,
budget, identities and seed, so that every method of a table is measured on the same draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from pydantic import JsonValue

import fplbench
from fplbench.errors import UserError
from fplbench.plugins.measure import DEFAULT
from fplbench.records import packed
from fplbench.records.agreement import furthest_first, of_headline
from fplbench.records.record import Record
from fplbench.records.results import results_of
from fplbench.records.settings import Row, settings_of
from fplbench.records.starts import Found
from fplbench.records.store import Problem
from fplbench.report.groups import OF_METHOD, OPTIMIZER, WITHOUT_EFFECT, show
from fplbench.report.words import title

FILE = Path(fplbench.__file__).parent / "reference" / "embedded.jsonl.gz"
"""In a checkout this folder is a link to results/reference."""
MOST = 6


def read() -> tuple[Found, list[Problem]]:
    """All cells of the reference. UserError where it is not there."""
    if not FILE.exists():
        raise UserError(
            f"This installation has no reference results (there is no {FILE}): install the "
            "package anew, or work in a checkout of it."
        )
    found = [(FILE, one) for one in packed.read(FILE)]
    records = [(file, one) for file, one in found if isinstance(one, Record)]
    return records, [one for _, one in found if isinstance(one, Problem)]


def beside(own: Found, reference: Found, measure: str = DEFAULT) -> tuple[Found, pd.DataFrame]:
    """A user's cells with those of the reference that may stand beside them, and the tidy table
    of both. A cell that both have is the user's.

    The table has three more columns. "reference": whether the cell is the reference's; of a cell
    that both have, "apart" is how many points lie at most between the two in a headline metric
    (infinite where one of them has no number, missing for all other cells), and "apart_in" says
    in which. UserError where no cell of the reference fits.
    """
    theirs = {_cell(record): record for _, record in reference}
    places = {_place(record) for _, record in own}
    mine = {_cell(record) for _, record in own}
    if not places & {_place(record) for _, record in reference}:
        raise UserError(_nothing(own, reference))
    kept = [
        (file, record)
        for file, record in reference
        if _place(record) in places and _cell(record) not in mine
    ]
    table = results_of([*own, *kept], [], measure=measure)
    twins = {record.id: theirs.get(_cell(record)) for _, record in own}
    apart = {
        record.id: _apart(record, twin)
        for _, record in own
        if (twin := twins[record.id]) is not None
    }
    table["reference"] = table["id"].isin({record.id for _, record in kept})
    table["apart"] = table["id"].map({name: points for name, (points, _) in apart.items()})
    table["apart_in"] = table["id"].map({name: said for name, (_, said) in apart.items()})
    return [*own, *kept], table


def _setting(record: Record) -> Row:
    """What cells of one column of a table agree in, seed apart."""
    whole: Row = {
        "dataset": record.dataset,
        "scenario": record.scenario,
        "backbone": record.backbone,
        **settings_of(record),
    }
    return {
        name: value
        for name, value in whole.items()
        if value is not None
        and not name.startswith(("set.", *OF_METHOD))
        and name not in (*OPTIMIZER, *WITHOUT_EFFECT)
    }


def _place(record: Record) -> str:
    return _key({**_setting(record), "seed": record.seed})


def _cell(record: Record) -> str:
    """All that decides a cell's numbers."""
    known = settings_of(record)
    own = {
        name: value
        for name, value in known.items()
        if value is not None and name.startswith(("set.", *OF_METHOD, *OPTIMIZER))
    }
    return _key({**_setting(record), **own, "seed": record.seed, "method": record.method})


def _key(values: Row) -> str:
    return repr(sorted(values.items()))


def _apart(mine: Record, theirs: Record) -> tuple[float, str]:
    """The headline metric in which two records of a cell differ most, and by how much."""
    if mine.status != theirs.status:
        return math.inf, f"{mine.status} here, {theirs.status} in the reference"
    numbers = furthest_first(of_headline(mine, theirs))
    if not numbers:
        return 0.0, ""
    most, here, there = numbers[0]
    return abs(here - there), f"{title(most, mine.about)} {here:.2f}, reference {there:.2f}"


def _nothing(own: Found, reference: Found) -> str:
    """Why no cell of the reference stands beside these: what the nearest one differs in."""
    mine = [(_setting(record), record.seed) for _, record in own]
    theirs = [(_setting(record), record.seed) for _, record in reference]
    same = [
        _differences({**one, "seed": a}, {**other, "seed": b})
        for one, a in mine
        for other, b in theirs
        if all(one[name] == other[name] for name in ("dataset", "scenario"))
    ]
    if same:
        nearest = min(same, key=len)
        more = f" and {len(nearest) - MOST} more" if len(nearest) > MOST else ""
        return (
            "No cell of the reference has the setting of these: the nearest differs in "
            f"{', '.join(nearest[:MOST])}{more}. Run yours in its setting, or leave --reference "
            "out."
        )
    return (
        f"The reference has no cell of {_sets(one for one, _ in mine)}; it has "
        f"{_sets(one for one, _ in theirs)}."
    )


def _differences(mine: Row, theirs: Row) -> list[str]:
    names = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
    return [
        f"{name.partition('.')[2] or name} ({_said(mine.get(name))}, reference "
        f"{_said(theirs.get(name))})"
        for name in names
    ]


def _said(value: JsonValue) -> str:
    return "none" if value is None else show(value)


def _sets(settings: Iterable[Row]) -> str:
    pairs = sorted({f"{one['dataset']} ({one['scenario']})" for one in settings})
    return ", ".join(pairs) or "no cell"

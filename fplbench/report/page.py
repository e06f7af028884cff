"""One HTML file of all records: leaderboards, plots, and a page for each cell; no network.

Python writes the numbers as JSON into the file; the scripts in templates/ make the page of them,
charts.js the plots with Observable Plot, whose file lies in vendor/. No text of a record ever
becomes markup: the scripts set texts alone, and the file's own policy lets no other script run.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import jinja2
import pandas as pd

import fplbench
from fplbench.errors import UserError
from fplbench.plugins.measure import DEFAULT
from fplbench.records.atomic import put
from fplbench.records.results import measures_of, results_of
from fplbench.records.starts import Found, drawn
from fplbench.records.store import Problem
from fplbench.report.boards import boards
from fplbench.report.cells import Pool, cell
from fplbench.report.groups import Group, split
from fplbench.report.tables import NOTHING
from fplbench.report.words import about

OWN = ("tools", "charts", "figures", "boards", "cell", "page")
SCRIPTS = (
    "vendor/d3.min.js",
    "vendor/plot.umd.min.js",
    *(f"templates/{name}.js" for name in OWN),
)


def write_page(
    found: Found,
    problems: list[Problem],
    out: Path,
    titles: Mapping[str, str],
    results: pd.DataFrame | None = None,
) -> Path:
    """Write the page of these cells. titles: method -> display name; its order fixes the looks.
    results: their tidy table, where it has more than `results_of` knows.

    Without records, or where the file cannot be written: UserError.
    """
    cells = drawn(found)
    if not cells:
        raise UserError("; ".join([*(problem.message for problem in problems), NOTHING]))
    results = results_of(found, []) if results is None else results
    groups = split(results, titles)
    others = _by_other_measures(found, results, titles)
    called = about(results.sort_values("finished"))
    pool = Pool()
    places = {str(cell_id): place for place, cell_id in enumerate(r.id for _, r in cells)}
    records = {record.id: record for _, record in cells}
    data = {
        "boards": [
            board
            for group in groups
            for board in boards(group, others.get(group.name, []), places, titles, records)
        ],
        "cells": [cell(folder, record, pool, titles) for folder, record in cells],
        "pool": pool.values,
        "metrics": {name: one.title for name, one in called.items()},
        "problems": [problem.message for problem in problems],
    }
    scripts = [files("fplbench.report").joinpath(name).read_text("utf-8") for name in SCRIPTS]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fplbench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template("page.html.j2").render(
        version=fplbench.__version__,
        data=_json(data),
        style=files("fplbench.report").joinpath("templates/page.css").read_text("utf-8"),
        scripts=scripts,
        hashes=[_hash(script) for script in scripts],
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        put(out, text)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; choose another -o.") from error
    return out


def _by_other_measures(
    found: Found, results: pd.DataFrame, titles: Mapping[str, str]
) -> dict[str, list[Group]]:
    """A group's name -> the same cells by every measure but accuracy. results: of accuracy."""
    cells = results.drop_duplicates("id").set_index("id")
    groups: dict[str, list[Group]] = {}
    for measure in measures_of(record for _, record in drawn(found)):
        if measure == DEFAULT:
            continue
        table = results_of(found, [], measure=measure)
        for name in results.columns.difference(table.columns):  # what the caller knows of the cells
            table[name] = table["id"].map(cells[name])
        for group in split(table, titles):
            groups.setdefault(group.name.removesuffix(f"-{measure}"), []).append(group)
    return groups


def _json(data: object) -> str:
    """JSON that no text in it can leave: < > & are written as escapes, which HTML does not see."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _hash(script: str) -> str:
    """As a content security policy names a script that may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

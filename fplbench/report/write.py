"""Tables and plots of a folder of records: on the screen, and as files.

All of it is made from the records alone. No plug-in and no torch is imported, so this takes
seconds, also for records of a method that is not installed here.
"""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from fplbench.errors import UserError
from fplbench.plugins.format import Format
from fplbench.plugins.measure import DEFAULT, metric
from fplbench.records.atomic import OUT, require_writable
from fplbench.records.record import Record
from fplbench.records.results import (
    HEADLINES,
    DamagedRecordWarning,
    clients_of,
    read_cells,
    results_of,
    with_headline,
)
from fplbench.records.starts import Found, drawn, nudge
from fplbench.records.store import Problem
from fplbench.report.entries import COSTS
from fplbench.report.pivot import Pivot, parse_where
from fplbench.report.tables import screen_pivot, screen_tables
from fplbench.report.tables import write_pivot as pivot
from fplbench.report.tables import write_tables as write


def show(results: Path, ids: Collection[str], out: Console, err: Console) -> None:
    """The tables of these cells on the screen."""
    found, problems = records(results, err, moved=True)
    table = _tidy(found, problems)
    for part in screen_tables(table[table["id"].isin(ids)], titles(table)):
        out.print(part)
    if any(nudge(record) for _, record in found if record.id in ids):
        line = f"Moved starts stand in no table: fplbench stability {results} shows their spread."
        out.print(line, markup=False, soft_wrap=True)


def write_tables(
    results: Path,
    output: Path,
    headline: str | None,
    formats: Sequence[Format],
    reference: bool,
    out: Console,
    err: Console,
    measure: str = DEFAULT,
) -> None:
    """Write all tables and name the files. headline: see results.HEADLINES; None, the last round.
    reference: whether the reference's cells stand beside these. measure: of the answers.

    Clients' own numbers are of the last round alone, so another headline has no intervals of them.
    """
    require_writable(output, OUT)
    found, _, table = _read_beside(results, reference, err, measure)
    cells = [record for _, record in found]
    clients = clients_of([] if headline else found, [], measure)
    if headline:
        table = with_headline(table, headline, *HEADLINES[headline])
    _name(write(table, output, titles(table), formats, clients, cells), out)


def write_pivot(
    results: Path,
    output: Path,
    asked: Sequence[tuple[str, ...]],
    where: Sequence[str],
    headline: str | None,
    formats: Sequence[Format],
    out: Console,
    err: Console,
    measure: str | None = None,
) -> None:
    """Write one table of the user's choice, show it and name the files.

    asked: names of its rows, columns and metrics. headline: as in write_tables. measure: of all
    its metrics; None, as their names say.
    """
    require_writable(output, OUT)
    rows, columns, metrics = asked
    if not rows or not metrics:
        raise UserError("A table needs --rows and --metric: for example --rows method.")
    found, problems = records(results, err)
    if measure is not None:
        names = (name if name in COSTS else metric(name, measure) for name in metrics)
        metrics = tuple(dict.fromkeys(names))
    table = _tidy(found, problems, None)
    if headline:
        table = with_headline(table, headline, *HEADLINES[headline])
    wanted = Pivot(rows, columns, metrics, parse_where(where))
    cells = [record for _, record in found]
    layout, files = pivot(table, output, titles(table), wanted, formats, cells)
    out.print(screen_pivot(layout))
    _name(files, out)


def show_stability(results: Path, out: Console, err: Console) -> None:
    """How far moved starts end from one another, beside how far seeds do."""
    from fplbench.report import stability

    found, problems = records(results, err)
    table = _tidy(found, problems)
    for part in stability.screen(table, [record for _, record in found], titles(table)):
        out.print(part)


def write_published(results: Path, output: Path, out: Console, err: Console) -> None:
    """Show our numbers beside published ones, write them and name the files."""
    require_writable(output, OUT)
    from fplbench.report import beside

    table = read(results, err)
    found = beside.compare(table, titles(table))
    if not found.pairs:
        raise UserError(beside.nothing(table))
    for part in beside.screen(found):
        out.print(part)
    _name(beside.write(found, output), out)


def write_plots(
    results: Path,
    output: Path,
    out: Console,
    err: Console,
    measure: str = DEFAULT,
    columns: int = 1,
) -> None:
    """Draw all plots of a measure and name the files; a page of them says what made them."""
    require_writable(output, OUT)
    from fplbench.report import plots  # matplotlib, which tables do without

    table = read(results, err)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedRecordWarning)  # named by `records` just now
        files = plots.write_plots(results, output, titles(table), measure, columns)
    words = ["fplbench", "plots", str(results), "--out", str(output), "--columns", str(columns)]
    words += ["--measure", measure] if measure != DEFAULT else []
    _name([*files, *plots.page(files, shlex.join(words), output)], out)


def write_page(results: Path, output: Path, reference: bool, out: Console, err: Console) -> None:
    """Write the page and name it. reference: as in write_tables."""
    from fplbench.report.page import write_page as page

    found, problems, table = _read_beside(results, reference, err)
    _name([page(found, problems, output, titles(table), table)], out)


def packable(results: Path, file: Path, err: Console) -> list[Record]:
    """The records that go into a file, which may lie among them or be all of them. A cell that
    cannot be read would be missing without a word from then on, so it is refused."""
    found, problems = records(results, err, moved=True)
    if problems:
        raise UserError("Nothing was packed: mend what cannot be read, or move it elsewhere.")
    return [record for place, record in found if results == file or place != file]


def read(results: Path, err: Console) -> pd.DataFrame:
    """The tidy table of a folder; what cannot be read is named. UserError: nothing is there."""
    return _tidy(*records(results, err))


def _tidy(found: Found, problems: list[Problem], measure: str | None = DEFAULT) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedRecordWarning)  # named by `records` just now
        return results_of(found, problems, measure=measure)


def _read_beside(
    results: Path, reference: bool, err: Console, measure: str = DEFAULT
) -> tuple[Found, list[Problem], pd.DataFrame]:
    """The cells, those of the reference that belong beside them, and the tidy table of all."""
    found, problems = records(results, err)
    if not reference:
        return found, problems, _tidy(found, problems, measure)
    from fplbench.report import reference as ours

    theirs, damaged = ours.read()
    _say(damaged, err)
    problems += damaged
    found, table = ours.beside(found, theirs, measure)
    table.attrs["problems"] = [problem.message for problem in problems]
    return found, problems, table


def records(results: Path, err: Console, moved: bool = False) -> tuple[Found, list[Problem]]:
    """The cells of a folder, moved starts among them; what cannot be read is named. UserError:
    nothing is there, or nothing but moved starts where these are not enough."""
    found, problems = read_cells(results)
    _say(problems, err)
    if found and not moved and not drawn(found):
        raise UserError(
            f"All records under {results} are of moved starts (nudge), which stand in no table: "
            "run the same cells without nudge."
        )
    if not found:
        raise UserError(f"There are no records under {results}: `fplbench run` makes them.")
    return found, problems


def _say(problems: Iterable[Problem], err: Console) -> None:
    for problem in problems:
        err.print(problem.message, style="red", markup=False, soft_wrap=True)


def titles(table: pd.DataFrame) -> dict[str, str]:
    """Method name -> what it is called in a paper, by name."""
    named = table.drop_duplicates("method").sort_values("method")
    return {str(m): str(t or m) for m, t in zip(named["method"], named["title"], strict=True)}


def _name(paths: Iterable[Path], out: Console) -> None:
    for path in paths:
        out.print(str(path), markup=False, soft_wrap=True)

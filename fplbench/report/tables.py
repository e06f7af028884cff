"""Tables of a tidy result table: LaTeX for a paper, Markdown, CSV, and the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Group as Screen
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fplbench.errors import UserError
from fplbench.plugins import registry
from fplbench.plugins.format import Document, Format
from fplbench.plugins.measure import DEFAULT
from fplbench.records import command
from fplbench.records.atomic import OUT, put, writing
from fplbench.records.record import Record
from fplbench.report.captions import sentence, setting
from fplbench.report.entries import FEWER, Entry
from fplbench.report.groups import Group, free_name, split
from fplbench.report.intervals import intervals
from fplbench.report.layout import Layout, Row, lay_out
from fplbench.report.markdown import rest
from fplbench.report.pivot import Pivot, pivot
from fplbench.report.words import in_words

NOTHING = "there are no records to report: run `fplbench run` first, or name the folder of --out"


def layouts(results: pd.DataFrame, titles: Mapping[str, str]) -> list[Layout]:
    """All tables of `load_results`'s table. titles: method -> display name, in the rows' order."""
    return [layout for group in split(results, titles) for layout in lay_out(group)]


def write_tables(
    results: pd.DataFrame,
    out: Path,
    titles: Mapping[str, str],
    formats: Sequence[Format] | None = None,
    clients: pd.DataFrame | None = None,
    records: Iterable[Record] = (),
) -> list[Path]:
    """Write all tables into a folder and return the files. clients: `load_clients`'s table, for
    further tables of intervals. records: of the cells, for the commands that make them again.

    tables.tex compiles by itself; it has the captions and \\input's NAME.tex, a bare tabular for
    each table. tables.md is for reading, tables.csv has every entry unrounded in a row of its
    own. Names of another measure's tables end in its name. siunitx: numbers in its S columns. A
    folder without records is a UserError.
    """
    groups = split(results, titles)
    tables = [layout for group in groups for layout in lay_out(group)]
    if clients is not None:
        tables += [layout for group in groups for layout in intervals(group, clients)]
    problems = list(results.attrs.get("problems", []))
    if not tables:
        raise UserError("; ".join([*problems, NOTHING]))
    measure = groups[0].measure
    name = "tables" if measure == DEFAULT else f"tables-{measure}"
    return _write(Document(name, _with_commands(tables, records), problems), out, formats)


def write_pivot(
    results: pd.DataFrame,
    out: Path,
    titles: Mapping[str, str],
    asked: Pivot,
    formats: Sequence[Format] | None = None,
    records: Iterable[Record] = (),
) -> tuple[Layout, list[Path]]:
    """Write one table of one's own choice: NAME.tex, NAME-page.tex that compiles, .md and .csv.
    records: as in `write_tables`."""
    (table,) = _with_commands([pivot(results, titles, asked)], records)
    problems = list(results.attrs.get("problems", []))
    return table, _write(Document(table.name, [table], problems), out, formats)


def _with_commands(tables: Sequence[Layout], records: Iterable[Record]) -> list[Layout]:
    known = {record.id: record for record in records}
    return [
        replace(table, commands=command.lines(known[i] for i in table.cells if i in known))
        for table in tables
    ]


def _write(document: Document, out: Path, formats: Sequence[Format] | None) -> list[Path]:
    # Two names that a file system takes for one are two files.
    taken = set() if document.tables[0].name == document.name else {document.name.lower()}
    apart = [replace(table, name=free_name(table.name, taken)) for table in document.tables]
    document = replace(document, tables=apart)
    files: dict[str, str | bytes] = {}
    for each in formats if formats is not None else usual_formats():
        files |= each.files(document)
    with writing(out, OUT):
        out.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            put(out / file, content)
    return [out / file for file in files]


def usual_formats() -> list[Format]:
    """Those that are written where nobody names any."""
    return [cls() for cls in registry.formats().classes.values() if cls.default]


def screen_tables(results: pd.DataFrame, titles: Mapping[str, str]) -> list[RenderableType]:
    """The headline tables with their notes, for a terminal of 100 columns."""
    return [
        _screen(layout, group)
        for group in split(results, titles)
        for layout in lay_out(group)
        if layout.kind == "headline"
    ]


def screen_pivot(layout: Layout) -> RenderableType:
    """One table of one's own choice, for a terminal."""
    return Screen(_screen_table(layout), Text("\n".join([layout.caption, *layout.notes]), "dim"))


def _screen(layout: Layout, group: Group) -> RenderableType:
    about = setting(group)
    data = ", ".join(head for head, _ in layout.heads)
    numbers = f"{sentence(in_words(group.scale))} {group.when}. {layout.over}"
    below = "\n".join([numbers, *layout.notes])
    title = Text(f"{data} ({about})", style="bold")
    return Screen(title, _screen_table(layout), Text(below, style="dim"), "")


def _screen_table(layout: Layout) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column(Text(layout.corner), overflow="fold")
    several = len(layout.heads) > 1 or layout.kind == "pivot"
    for head, name in layout.titles:
        table.add_column(Text(f"{head}\n{name}" if several else name), justify="right")
    for row in layout.rows:
        label = Text(row.label + (f" {FEWER}{row.fewer}" if row.fewer else ""))
        table.add_row(label, *(_screen_entry(entry, row) for entry in row.entries))
    return table


def _screen_entry(entry: Entry, row: Row) -> Text:
    style = "bold" if entry.mark else ""
    text = Text()
    text.append(entry.text, style="dim" if entry.mean is None else style)
    return text.append(rest(entry, row))

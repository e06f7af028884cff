"""Tables of a tidy result table: LaTeX for a paper, Markdown, CSV, and the terminal."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import pandas as pd
from rich import box
from rich.console import Group as Screen
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fplbench.errors import UserError
from fplbench.measure import DEFAULT
from fplbench.report import tex
from fplbench.report.captions import sentence, setting
from fplbench.report.entries import FEWER, Entry
from fplbench.report.escape import latex, markdown
from fplbench.report.groups import Group, split
from fplbench.report.intervals import intervals
from fplbench.report.layout import WIDEST, Layout, Row, lay_out, long_table
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
    siunitx: bool = False,
    clients: pd.DataFrame | None = None,
) -> list[Path]:
    """Write all tables into a folder and return the files. clients: `load_clients`'s table, for
    further tables of intervals.

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
    return _write(tables, out, name, problems, siunitx)


def write_pivot(
    results: pd.DataFrame,
    out: Path,
    titles: Mapping[str, str],
    asked: Pivot,
    siunitx: bool = False,
) -> tuple[Layout, list[Path]]:
    """Write one table of one's own choice: NAME.tex, NAME-page.tex that compiles, .md and .csv."""
    table = pivot(results, titles, asked)
    problems = list(results.attrs.get("problems", []))
    return table, _write([table], out, table.name, problems, siunitx)


def tabular(table: Layout, siunitx: bool = False) -> str:
    """A table's tabular in LaTeX."""
    template = _environment("siunitx" if siunitx else "latex").get_template("tabular.tex.j2")
    return template.render(**tex.fields(table, siunitx))


def _write(
    tables: Sequence[Layout], out: Path, name: str, problems: Sequence[str], siunitx: bool
) -> list[Path]:
    common: dict[str, object] = {
        "tables": tables,
        "problems": problems,
        "siunitx": siunitx,
        "sisetup": tex.SISETUP,
    }
    common["widest"] = WIDEST
    files = {f"{table.name}.tex": tabular(table, siunitx) for table in tables}
    page = _environment("latex").get_template("tables.tex.j2").render(**common)
    files[f"{name}-page.tex" if f"{name}.tex" in files else f"{name}.tex"] = page
    markdown_page = _environment("markdown").get_template("tables.md.j2")
    files[f"{name}.md"] = markdown_page.render(**common)
    files[f"{name}.csv"] = long_table(tables).to_csv(index=False)
    out.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (out / file).write_text(text, encoding="utf-8")
    return [out / file for file in files]


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
    over = layout.caption.removeprefix(layout.caption.split(f"{about}. ")[0] + f"{about}. ")
    below = "\n".join([f"{sentence(in_words(group.scale))} {group.when}. {over}", *layout.notes])
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
    return text.append(_rest(entry, row))


def _rest(entry: Entry, row: Row) -> str:
    """What stands behind a mean in plain text."""
    spread = f" ± {entry.spread}" if entry.spread else ""
    spread += f" {entry.range}" if entry.range else ""
    return spread + (f"{FEWER}{entry.seeds}" if entry.fewer and not row.fewer else "")


def markdown_entry(entry: Entry, row: Row) -> str:
    """An entry as it stands in a table of Markdown."""
    wrap = "**%s**" if entry.mark else "%s"
    return wrap % markdown(entry.text) + _rest(entry, row)


def markdown_label(row: Row) -> str:
    """A row's label as it stands in a table of Markdown."""
    return markdown(row.label) + (f" {FEWER}{row.fewer}" if row.fewer else "")


@functools.cache
def _environment(kind: str) -> jinja2.Environment:
    """Templates with delimiters that neither LaTeX nor Markdown uses."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fplbench.report"),
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # the filters escape for LaTeX and Markdown
        keep_trailing_newline=True,
    )
    environment.filters["latex"] = latex
    environment.filters["markdown"] = markdown
    entry = {"latex": tex.entry, "siunitx": tex.siunitx_entry, "markdown": markdown_entry}
    environment.filters["entry"] = entry[kind]
    environment.filters["label"] = markdown_label if kind == "markdown" else tex.label
    return environment

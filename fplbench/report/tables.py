"""Tables of a tidy result table: LaTeX for a paper, Markdown, CSV, and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jinja2
import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fplbench.errors import UserError
from fplbench.report.captions import setting
from fplbench.report.entries import FEWER, Entry
from fplbench.report.escape import latex, markdown
from fplbench.report.groups import split
from fplbench.report.layout import Layout, Row, lay_out, long_table

NOTHING = "there are no records to report: run `fplbench run` first, or name the folder of --out"


def layouts(results: pd.DataFrame, titles: Mapping[str, str]) -> list[Layout]:
    """All tables of `load_results`'s table. titles: method -> display name, in the rows' order."""
    return [layout for group in split(results, titles) for layout in lay_out(group)]


def write_tables(results: pd.DataFrame, out: Path, titles: Mapping[str, str]) -> list[Path]:
    """Write all tables into a folder and return the files.

    tables.tex compiles by itself; it has the captions and \\input's NAME.tex, a bare tabular for
    each table. tables.md is for reading, tables.csv has every entry unrounded in a row of its
    own. A folder without records is a UserError.
    """
    tables = layouts(results, titles)
    problems = list(results.attrs.get("problems", []))
    if not tables:
        raise UserError("; ".join([*problems, NOTHING]))
    tex, md = _environment("latex"), _environment("markdown")
    files = {
        f"{table.name}.tex": tex.get_template("tabular.tex.j2").render(**_fields(table))
        for table in tables
    }
    files["tables.tex"] = tex.get_template("tables.tex.j2").render(tables=tables, problems=problems)
    files["tables.md"] = md.get_template("tables.md.j2").render(tables=tables, problems=problems)
    files["tables.csv"] = long_table(tables).to_csv(index=False)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
    return [out / name for name in files]


def screen_tables(results: pd.DataFrame, titles: Mapping[str, str]) -> list[RenderableType]:
    """The headline tables with their notes, for a terminal of 100 columns."""
    return [
        _screen(layout, setting(group))
        for group in split(results, titles)
        for layout in lay_out(group)
        if layout.kind == "headline"
    ]


def _screen(layout: Layout, about: str) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("Method", overflow="fold")
    several = len(layout.heads) > 1
    for head, name in layout.titles:
        table.add_column(Text(f"{head}\n{name}" if several else name), justify="right")
    for row in layout.rows:
        label = Text(row.label + (f" {FEWER}{row.fewer}" if row.fewer else ""))
        table.add_row(label, *(_screen_entry(entry, row) for entry in row.entries))
    data = ", ".join(head for head, _ in layout.heads)
    over = layout.caption.removeprefix(layout.caption.split(f"{about}. ")[0] + f"{about}. ")
    below = "\n".join([f"Accuracy in percent after the last round. {over}", *layout.notes])
    return Group(Text(f"{data} ({about})", style="bold"), table, Text(below, style="dim"), "")


def _screen_entry(entry: Entry, row: Row) -> Text:
    style = {"best": "bold", "second": "underline", "": ""}[entry.mark]
    text = Text()
    text.append(entry.text, style="dim" if entry.mean is None else style)
    return text.append(_rest(entry, row))


def _rest(entry: Entry, row: Row) -> str:
    """What stands behind a mean in plain text."""
    spread = f" ± {entry.spread}" if entry.spread else ""
    return spread + (f"{FEWER}{entry.seeds}" if entry.fewer and not row.fewer else "")


def _latex_entry(entry: Entry, row: Row) -> str:
    if entry.mean is None:
        return latex(entry.text)
    wrap = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}[entry.mark]
    spread = rf"\,{{\tiny$\pm${entry.spread}}}" if entry.spread else ""
    fewer = _dagger(entry.seeds) if entry.fewer and not row.fewer else ""
    return wrap % entry.text + spread + fewer


def _dagger(seeds: int) -> str:
    return rf"$^{{\dagger{seeds}}}$"


def _latex_label(row: Row) -> str:
    return latex(row.label) + (_dagger(row.fewer) if row.fewer else "")


def _markdown_entry(entry: Entry, row: Row) -> str:
    wrap = {"best": "**%s**", "second": "<ins>%s</ins>", "": "%s"}[entry.mark]
    return wrap % entry.text + _rest(entry, row)


def _markdown_label(row: Row) -> str:
    return markdown(row.label) + (f" {FEWER}{row.fewer}" if row.fewer else "")


def _fields(table: Layout) -> dict[str, object]:
    spans, first = [], 2
    for _, names in table.heads:
        spans.append((first, first + len(names) - 1))
        first += len(names)
    return {
        "caption": table.caption,
        "heads": table.heads,
        "titles": table.titles,
        "rows": table.rows,
        "spans": spans,
    }


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
    environment.filters["entry"] = _latex_entry if kind == "latex" else _markdown_entry
    environment.filters["label"] = _latex_label if kind == "latex" else _markdown_label
    return environment

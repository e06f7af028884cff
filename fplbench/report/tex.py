"""A table's tabular in LaTeX: with booktabs alone, or with siunitx's columns."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jinja2

from fplbench.report.entries import Entry
from fplbench.report.escape import beyond_pdflatex, comment, latex
from fplbench.report.jinja import environment
from fplbench.report.layout import WIDEST, Layout, Row

# What a document that takes siunitx's tables must say once.
SISETUP = (
    r"\sisetup{uncertainty-mode=separate, group-separator={,}, group-minimum-digits=4, "
    r"text-series-to-math=true, reset-text-series=false, table-number-alignment=center}"
)


# Before a tabular with names of other scripts.
BEYOND = "% Its names are beyond pdflatex: lualatex or xelatex, and a font with their letters.\n"


def tabular(table: Layout, siunitx: bool = False) -> str:
    """A table's tabular."""
    template = _environment(siunitx).get_template("tabular.tex.j2")
    text = template.render(**_fields(table, siunitx))
    return BEYOND + text if beyond_pdflatex(text) else text


def page(tables: Sequence[Layout], problems: Sequence[str], siunitx: bool = False) -> str:
    """A document that compiles, has the captions, and \\input's NAME.tex for each table."""
    template = _environment(False).get_template("tables.tex.j2")
    beyond = any(beyond_pdflatex(tabular(table, siunitx)) for table in tables)
    given = {
        "tables": tables,
        "problems": problems,
        "siunitx": siunitx,
        "sisetup": SISETUP,
        "widest": WIDEST,
    }
    text = template.render(**given, beyond=beyond)
    if not beyond and beyond_pdflatex(text):
        text = template.render(**given, beyond=True)
    return text


@functools.cache
def _environment(siunitx: bool) -> jinja2.Environment:
    filled = siunitx_entry if siunitx else entry
    return environment(latex=latex, entry=filled, label=label, comment=comment)


def _fields(table: Layout, siunitx: bool) -> dict[str, object]:
    """What tabular.tex.j2 is filled with."""
    spans, first = [], 2
    for _, names in table.heads:
        spans.append((first, first + len(names) - 1))
        first += len(names)
    places = range(len(table.titles))
    spec = (
        "".join(_column([row.entries[place] for row in table.rows], table.rows) for place in places)
        if siunitx
        else "r" * len(places)
    )
    return {
        "caption": table.caption,
        "commands": table.commands,
        "corner": table.corner,
        "heads": table.heads,
        "titles": table.titles,
        "rows": table.rows,
        "spans": spans,
        "columns": spec,
        "siunitx": siunitx,
        "sisetup": SISETUP,
        "pivot": table.kind == "pivot",
    }


def label(row: Row) -> str:
    text = latex(row.label) + (_dagger(row.fewer) if row.fewer else "")
    return f"{{}}{text}" if text[:1] in ("[", "*") else text  # else an argument of the rule before


def entry(entry: Entry, row: Row) -> str:
    """As it stands in an r column: the deviation small beside the mean."""
    if entry.mean is None:
        return latex(entry.text)
    wrap = r"\textbf{%s}" if entry.mark else "%s"
    spread = rf"\,{{\tiny$\pm${entry.spread}}}" if entry.spread else ""
    spread += rf"\,{{\tiny{_range(entry)}}}" if entry.range else ""
    fewer = _dagger(entry.seeds) if entry.fewer and not row.fewer else ""
    return wrap % latex(entry.text) + spread + fewer


def siunitx_entry(entry: Entry, row: Row) -> str:
    """As siunitx reads it in an S column; words are text to it."""
    if not _is_number(entry, row):
        return "{" + _plain(entry, row) + "}"
    number = entry.text.replace(",", "")
    if entry.spread:
        number += f"({entry.spread.replace('.', '').lstrip('0') or '0'})"
    return (r"\bfseries " if entry.mark else "") + number


def _plain(entry: Entry, row: Row) -> str:
    if entry.mean is None:
        return latex(entry.text)
    spread = rf" $\pm$ {entry.spread}" if entry.spread else ""
    spread += f" {_range(entry)}" if entry.range else ""
    fewer = _dagger(entry.seeds) if entry.fewer and not row.fewer else ""
    return latex(entry.text) + spread + fewer


def _is_number(entry: Entry, row: Row) -> bool:
    plain = entry.text.replace(",", "").replace(".", "", 1).isdigit() and not entry.range
    return entry.mean is not None and plain and not (entry.fewer and not row.fewer)


def _range(entry: Entry) -> str:
    return entry.range.replace("-", "--")


def _column(entries: Sequence[Entry], rows: Sequence[Row]) -> str:
    """S with as many digits as its widest number."""
    shown = [e for e, row in zip(entries, rows, strict=True) if _is_number(e, row)]
    if not shown:
        return "r"
    parts = [one.text.replace(",", "").partition(".") for one in shown]
    whole, decimals = max(len(p[0]) for p in parts), max(len(p[2]) for p in parts)
    spreads = [len(one.spread.replace(".", "").lstrip("0")) for one in shown if one.spread]
    uncertainty = f"({max(1, *spreads)})" if spreads else ""
    return f"S[table-format={whole}.{decimals}{uncertainty}]"


def _dagger(seeds: int) -> str:
    return rf"$^{{\dagger{seeds}}}$"

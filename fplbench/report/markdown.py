"""A table in Markdown."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jinja2

from fplbench.report.entries import FEWER, Entry
from fplbench.report.escape import comment, markdown
from fplbench.report.jinja import environment
from fplbench.report.layout import Layout, Row


def page(tables: Sequence[Layout], problems: Sequence[str]) -> str:
    """All tables with their captions and notes."""
    return _environment().get_template("tables.md.j2").render(tables=tables, problems=problems)


def entry(entry: Entry, row: Row) -> str:
    """An entry as it stands in a table of Markdown."""
    wrap = "**%s**" if entry.mark else "%s"
    return wrap % markdown(entry.text) + rest(entry, row)


def label(row: Row) -> str:
    """A row's label as it stands in a table of Markdown."""
    return markdown(row.label) + (f" {FEWER}{row.fewer}" if row.fewer else "")


def rest(entry: Entry, row: Row) -> str:
    """What stands behind a mean in plain text."""
    spread = f" ± {entry.spread}" if entry.spread else ""
    spread += f" {entry.range}" if entry.range else ""
    return spread + (f"{FEWER}{entry.seeds}" if entry.fewer and not row.fewer else "")


@functools.cache
def _environment() -> jinja2.Environment:
    return environment(markdown=markdown, entry=entry, label=label, comment=comment)

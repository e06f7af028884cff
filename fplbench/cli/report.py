"""The commands that make something of records: tables, plots, report."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fplbench.cli.consoles import err, out
from fplbench.cli.options import Plugins, Results, listed
from fplbench.errors import UserError
from fplbench.plugins import registry
from fplbench.plugins.format import Format
from fplbench.plugins.measure import DEFAULT

Reference = Annotated[
    bool,
    typer.Option(
        "--reference",
        help="Beside the reference results, where setting, data, weights and seed agree.",
    ),
]


Measure = Annotated[
    str | None,
    typer.Option(
        help="What is made of the answers: accuracy, f1, ece, worst, or another that the records "
        "have. In a table of your own METRIC.MEASURE names it too: --metric local,local.ece."
    ),
]


class Headline(StrEnum):
    """Which rounds a table's numbers are of."""

    last = "last"
    last5 = "last5"


def tables(
    results: Results = Path("results"),
    output: Annotated[Path | None, typer.Option("--out", help="Default: RESULTS/tables.")] = None,
    rows: Annotated[
        str | None,
        typer.Option(help="One table of your own: its rows, e.g. method or method,mu."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Its columns, e.g. alpha; by default dataset.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Its numbers, e.g. local,novel; by default local.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE: only cells that have it; repeatable; needs --rows."),
    ] = None,
    headline: Annotated[
        Headline,
        typer.Option(
            help="Numbers of the last round, or the mean over the last five where each of them "
            "was evaluated. Never the best round."
        ),
    ] = Headline.last,
    formats: Annotated[
        str | None,
        typer.Option(
            help="What is written (list formats), names with commas between; by default LaTeX, "
            "Markdown and CSV."
        ),
    ] = None,
    siunitx: Annotated[
        bool, typer.Option("--siunitx", help="LaTeX with siunitx's columns in place of the usual.")
    ] = False,
    published: Annotated[
        bool,
        typer.Option("--published", help="Papers' numbers beside ours, with what differs."),
    ] = False,
    measure: Measure = None,
    reference: Reference = False,
    plugins: Plugins = None,
) -> None:
    """Write LaTeX, Markdown and CSV tables of all records, or one table with rows and columns
    of your own choice, or our numbers beside published ones."""
    from fplbench.report import write as reporting

    folder = output or _beside(results, "tables")
    written = _formats(formats, siunitx, plugins or [])
    chosen = None if headline is Headline.last else headline.value
    if published:
        own = (rows, columns, metric, where, siunitx, formats, chosen, reference, measure)
        if any(own):
            raise UserError(
                "--published is a table of its own: leave --rows, --columns, --metric, --where, "
                "--headline, --formats, --siunitx, --measure, --reference."
            )
        reporting.write_published(results, folder, out, err)
        return
    if rows is None:
        if where or columns or metric:
            raise UserError(
                "--columns, --metric and --where are for a table of your own: name its --rows too."
            )
        of = measure or DEFAULT
        reporting.write_tables(results, folder, chosen, written, reference, out, err, of)
        return
    if reference:
        raise UserError("--reference is for the tables that are always made: leave --rows out.")
    asked = [_names(rows), _names(columns or "dataset"), _names(metric or "local")]
    reporting.write_pivot(results, folder, asked, where or [], chosen, written, out, err, measure)


def plots(
    results: Results = Path("results"),
    output: Annotated[Path | None, typer.Option("--out", help="Default: RESULTS/plots.")] = None,
    measure: Measure = None,
    columns: Annotated[
        int, typer.Option(help="Columns of a paper that a figure is as wide as.", min=1, max=2)
    ] = 1,
) -> None:
    """Draw curves, trade-offs, clients and more of all records as PDF and PNG, each with its data
    as CSV, and name the command below each in plots.md."""
    from fplbench.report import write as reporting

    folder = output or _beside(results, "plots")
    reporting.write_plots(results, folder, out, err, measure or DEFAULT, columns)


def report(
    results: Results = Path("results"),
    output: Annotated[
        Path | None, typer.Option("-o", "--out", help="Default: RESULTS/report.html.")
    ] = None,
    reference: Reference = False,
) -> None:
    """Write one HTML page of all records: leaderboards, plots, and every cell's settings."""
    from fplbench.report import write as reporting

    reporting.write_page(results, output or _beside(results, "report.html"), reference, out, err)


def _formats(names: str | None, siunitx: bool, plugins: list[Path]) -> list[Format]:
    """The formats of these names; without names the usual ones."""
    found = registry.formats(plugins)
    wanted = listed(names, "--formats") or [n for n, cls in found.classes.items() if cls.default]
    chosen = ["siunitx" if siunitx and name == "latex" else name for name in wanted]
    return [found.get(name)() for name in chosen]


def _beside(results: Path, name: str) -> Path:
    """In the folder of results, or beside a file of them."""
    return (results.parent if results.is_file() else results) / name


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))

"""The commands for results that travel: `pack`, `merge`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fplbench.cli.consoles import err, out
from fplbench.cli.options import Results
from fplbench.errors import UserError
from fplbench.records.phrases import some

Written = Annotated[
    Path | None,
    typer.Option("-o", "--out", help="The file to write: *.jsonl, *.jsonl.gz or *.parquet."),
]


class Keep(StrEnum):
    """Which of two records of a cell that do not agree stays."""

    first = "first"


def pack(
    results: Results,
    file: Annotated[Path | None, typer.Argument(help="The same as --out.")] = None,
    output: Written = None,
    by: Annotated[
        str | None,
        typer.Option(help='Who made them, as "NAME, PLACE": it stays with each cell.'),
    ] = None,
) -> None:
    """Pack all records into one file to publish, commit or send: no tensors, no histories.
    tables, plots, report, show and merge read it like a folder."""
    from fplbench.records import packed
    from fplbench.report import write as reporting

    target = _named(file, output)
    packed.require_name(target)
    whole = reporting.packable(results, target, err)
    if by is not None:
        source = " ".join(by.split())
        if not source:
            raise UserError('--by is empty: name who made the results, as "NAME, PLACE".')
        whole = [r if r.source else r.model_copy(update={"source": source}) for r in whole]
    packed.write(whole, target)
    out.print(f"{some(len(whole), 'cell')}: {target}", markup=False, soft_wrap=True)


def merge(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Packs, or folders with records.")
    ],
    output: Written = None,
    keep: Annotated[
        Keep | None,
        typer.Option(help="Of records of one cell that do not agree, the one named first stays."),
    ] = None,
) -> None:
    """Join packs and folders of results into one pack; each cell keeps where it came from.

    Ends with exit code 1, and writes nothing, if two records of a cell differ by more than
    rounding does.
    """
    from fplbench.records import packed
    from fplbench.records.merge import merge as merged_of

    target = _named(None, output)
    packed.require_name(target)
    merged = merged_of(paths, without=target)
    for line in merged.conflicts:
        err.print(line, style="red", markup=False, soft_wrap=True)
    many = len(merged.conflicts)
    if many and keep is None:
        err.print(
            f"Nothing was merged: {many} {'cell does' if many == 1 else 'cells do'} not agree. "
            "`fplbench rerun` tells which is right; --keep first takes what is named first.",
            style="red",
        )
        raise typer.Exit(1)
    packed.write(merged.records, target)
    each = ", ".join(f"{n} of {path}" for n, path in zip(merged.counts, paths, strict=True))
    twice = f"; {merged.twice} were there more than once and agree" if merged.twice else ""
    first = f"; of {many} that do not the first was kept" if many else ""
    line = f"{some(len(merged.records), 'cell')}: {target} ({each}{twice}{first})"
    out.print(line, markup=False, soft_wrap=True)


def _named(file: Path | None, output: Path | None) -> Path:
    if (file is None) == (output is None):
        raise UserError("Name one file to write: --out all.jsonl.gz.")
    return file or output or Path()

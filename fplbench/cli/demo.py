"""`fplbench demo`: the README's comparison, from its cells to its page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from fplbench.cli.consoles import err

GRID = Path(__file__).with_name("demo.yaml")
QUICK = ("--seeds", "0", "--rounds", "2")


def demo(
    output: Annotated[
        Path | None,
        typer.Option("--out", help="Default: results/demo, or results/demo-quick with --quick."),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes at a time.", min=1)] = 2,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="One seed and two rounds: whether everything works here. Its numbers say nothing "
            "about the methods.",
        ),
    ] = False,
) -> None:
    """Compare six methods on the embedded backbone and data sets: needs no data, weights or GPU.

    Four commands, each named as it starts: run, tables, plots, report.
    """
    from fplbench.cli.app import command_line  # which imports this module

    folder = str(output or Path("results", "demo-quick" if quick else "demo"))
    run = ("run", str(GRID), "--out", folder, "--jobs", str(jobs), *(QUICK if quick else ()))
    for words in (run, *((name, folder) for name in ("tables", "plots", "report"))):
        err.print(f"fplbench {shlex.join(words)}", markup=False, soft_wrap=True)
        code = command_line(words[0])(list(words), standalone_mode=False)
        if code:
            raise typer.Exit(code)
    if quick:
        err.print("This was --quick: everything works here; the numbers are of two rounds alone.")

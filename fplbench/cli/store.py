"""The commands for a store while and after it is filled: `status`, `check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fplbench.cli.consoles import out

Store = Annotated[Path, typer.Argument(help="The folder that --out named.")]


def status(
    path: Store = Path("results/runs"),
    watch: Annotated[bool, typer.Option("--watch", help="Look again until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2)] = 5.0,
    times: Annotated[
        bool, typer.Option("--times", help="Show where the cells' seconds went instead.")
    ] = False,
) -> None:
    """Show what is done, what runs where, what failed and why, what is left, and the time left.

    Ends with exit code 1 if a cell has failed or diverged.
    """
    from fplbench.grid import phases
    from fplbench.grid import status as grid_status

    if times:
        phases.show(path, out)
        return
    raise typer.Exit(grid_status.show(path, every if watch else None, out))


def check(
    path: Annotated[Path, typer.Argument(help="A folder with records, at any depth.")],
) -> None:
    """Verify every file of every record, and say what to do about what is not as written.

    Ends with exit code 1 if anything is damaged or cannot be read.
    """
    from fplbench.grid import check as grid_check

    raise typer.Exit(grid_check.show(path, out))

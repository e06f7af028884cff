"""The commands for a store while and after it is filled. No logic of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fplbench.cli.options import DataRoot, Plugins, listed, listed_seeds

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Store = Annotated[Path, typer.Argument(help="The folder that --out named.")]


def status(
    path: Store = Path("results/runs"),
    watch: Annotated[bool, typer.Option("--watch", help="Look again until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2)] = 5.0,
) -> None:
    """Show what is done, what runs where, what failed and why, what is left, and the time left.

    Ends with exit code 1 if a cell has failed or diverged.
    """
    from fplbench.grid import status as grid_status

    raise typer.Exit(grid_status.show(path, every if watch else None, out))


def check(
    path: Annotated[Path, typer.Argument(help="A folder with records, at any depth.")],
) -> None:
    """Verify every file of every record, and say what to do about what is not as written.

    Ends with exit code 1 if anything is damaged.
    """
    from fplbench.grid import check as grid_check

    raise typer.Exit(grid_check.show(path, out))


def stability(
    path: Annotated[Path, typer.Argument(help="A folder with records, at any depth.")],
    starts: Annotated[
        int, typer.Option(help="Moved starts of each cell; 0 shows those that are there.", min=0)
    ] = 2,
    threads: Annotated[
        int | None,
        typer.Option(help="Of the last start; by default half of the record's, 2 for 1.", min=1),
    ] = None,
    methods: Annotated[str | None, typer.Option(help="Names with commas between.")] = None,
    datasets: Annotated[str | None, typer.Option(help="Names with commas between.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Numbers with commas between.")] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="As in the run, where images were left out.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells, and time and disk needed.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed or diverged.")
    ] = False,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda:0, several with commas between, or all GPUs.")
    ] = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(help="Processes at a time; by default one on each device.", min=1),
    ] = None,
    plugins: Plugins = None,
    data_root: DataRoot = None,
) -> None:
    """Repeat finished cells from starts moved by a millionth, the last of them with another number
    of threads, and show how far rounding alone moves a number, beside how far seeds do.

    What was repeated before is skipped. Ends with exit code 1 if a repetition failed.
    """
    asked = {
        "methods": listed(methods, "--methods"),
        "datasets": listed(datasets, "--datasets"),
        "seeds": listed_seeds(seeds),
    }
    from fplbench.grid import run as grid_run  # torch: not before the mistakes above are said
    from fplbench.grid import stability as repeating

    how = grid_run.How(
        device=device,
        jobs=jobs,
        retry_failed=retry_failed,
        skip_broken=skip_broken,
        dry_run=dry_run,
    )
    wanted = repeating.Asked(starts=starts, threads=threads, **asked)  # type: ignore[arg-type]
    raise typer.Exit(repeating.show(path, wanted, how, plugins or [], data_root, out, err))

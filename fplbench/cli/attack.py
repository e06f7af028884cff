"""`fplbench attack`: can it be told from prompts which images they were trained on?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fplbench.cli import flags
from fplbench.cli.consoles import err, out, warn
from fplbench.cli.options import DataRoot, Device, Plugins, listed, listed_seeds
from fplbench.errors import UserError
from fplbench.machine.caches import cache_folder
from fplbench.machine.place import Place
from fplbench.plugins import registry
from fplbench.records.atomic import OUT, require_writable


def attack(
    path: Annotated[Path, typer.Argument(help="A folder with records, at any depth.")],
    runs: Annotated[
        int,
        typer.Option(
            help="How often each cell is trained, on another half of every client's images; even.",
            min=6,
        ),
    ] = 8,
    methods: Annotated[str | None, typer.Option(help="Names with commas between.")] = None,
    datasets: Annotated[str | None, typer.Option(help="Names with commas between.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Numbers with commas between.")] = None,
    output: Annotated[Path | None, typer.Option("--out", help="Default: PATH/attack.")] = None,
    device: Device = "auto",
    plugins: Plugins = None,
    data_root: DataRoot = None,
) -> None:
    """Train finished cells again on halves of their images and guess which half it was: a table of
    how well that goes (0.5 is a guess), beside epsilon where a strategy counts it."""
    names, sets = listed(methods, "--methods"), listed(datasets, "--datasets")
    numbers = listed_seeds(seeds)
    if runs % 2:
        raise UserError(f"--runs {runs}: halves come in pairs, so it must be even.")
    folder = output or path / "attack"
    require_writable(folder, OUT)
    from fplbench.data.progress import on_console  # torch: not before the mistakes above are said
    from fplbench.grid.again import job_of
    from fplbench.grid.attack import attacked
    from fplbench.grid.run import bench_of
    from fplbench.records.starts import Asked, drawn
    from fplbench.report import leaks, write

    asked = Asked(0, None, names, sets, numbers)
    found, _ = write.records(path, err)
    chosen = [record for _, record in drawn(found) if asked.of(record)]
    if not chosen:
        raise UserError(
            f"Nothing under {path} can be attacked: no finished cell that trains anything fits "
            "--methods, --datasets and --seeds."
        )
    place = Place(store=path, cache=cache_folder(), plugins=tuple(plugins or ()), root=data_root)
    local = flags.made(registry.executors(), "local", {})
    bench = bench_of(place, local, local.devices(device), 1, on_console(err))
    cells = []
    for record in chosen:
        job, why = job_of(record, bench)
        if job is None or why:
            warn(
                f"{record.id}: not attacked, since the record was made before {why}; run it again."
            )
        else:
            cells.append((record.id, job.cell))
    if not cells:
        raise UserError(f"Nothing under {path} is a cell of today: run the cells again.")
    with err.status("") as status:
        table = attacked(cells, bench, runs, status.update)
    out.print(leaks.screen(table))
    out.print(str(leaks.write(table, folder)), markup=False, soft_wrap=True)

"""`fplbench stability`: finished cells again from moved starts, and how far these end apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fplbench.cli import flags
from fplbench.cli.consoles import err, out, warn
from fplbench.cli.options import (
    DataRoot,
    Device,
    DryRun,
    Jobs,
    Plugins,
    RetryFailed,
    SkipBroken,
    listed,
    listed_seeds,
)
from fplbench.errors import UserError
from fplbench.machine.caches import cache_folder
from fplbench.machine.place import Place
from fplbench.plugins import registry

if TYPE_CHECKING:
    from fplbench.records.starts import Asked, Found


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
    skip_broken: SkipBroken = False,
    dry_run: DryRun = False,
    retry_failed: RetryFailed = False,
    device: Device = "auto",
    jobs: Jobs = None,
    plugins: Plugins = None,
    data_root: DataRoot = None,
) -> None:
    """Repeat finished cells from starts moved by a millionth, the last of them with another number
    of threads, and show how far rounding alone moves a number, beside how far seeds do.

    What was repeated before is skipped. Ends with exit code 1 if a repetition failed.
    """
    names, sets = listed(methods, "--methods"), listed(datasets, "--datasets")
    numbers = listed_seeds(seeds)
    from fplbench.records.starts import Asked, drawn
    from fplbench.report import write

    asked = Asked(starts, threads, names, sets, numbers)
    found, _ = write.records(path, err)
    chosen = [(folder, record) for folder, record in drawn(found) if asked.of(record)]
    if not chosen:
        raise UserError(
            f"Nothing under {path} can be repeated: no finished cell that trains anything fits "
            "--methods, --datasets and --seeds."
        )
    place = Place(
        store=chosen[0][0].parent,
        cache=cache_folder(),
        plugins=tuple(plugins or ()),
        root=data_root,
        skip_broken=skip_broken,
    )
    code = _repeat(chosen, asked, place, device, jobs, retry_failed, dry_run) if starts else 0
    if not dry_run:
        write.show_stability(path, out, err)
    raise typer.Exit(code)


def _repeat(
    chosen: Found,
    asked: Asked,
    place: Place,
    device: str,
    jobs: int | None,
    retry_failed: bool,
    dry_run: bool,
) -> int:
    """Compute what is missing of the moved starts; the exit code."""
    from dataclasses import replace

    from fplbench.cli import cells as say
    from fplbench.data.progress import on_console
    from fplbench.grid import run as of
    from fplbench.grid.stability import moved_starts
    from fplbench.records.store import Store

    local = flags.made(registry.executors(), "local", {})
    devices = local.devices(device)
    bench = of.bench_of(place, local, devices, jobs, on_console(err))
    of.present(tuple(dict.fromkeys(record.dataset for _, record in chosen)), bench)
    work, refused = moved_starts(chosen, asked, bench)
    for line in refused:
        warn(line)
    if dry_run:
        for where in dict.fromkeys(where for where, _ in work):
            every = [job for (there, _), cells in work.items() if there == where for job in cells]
            say.dry_run(every, Store(where), local.processes(devices, jobs), retry_failed)
        return 0
    code = 0
    for (where, threads), cells in work.items():
        store = Store(where)
        before = say.statuses(cells, store)
        if all(status == "done" for status in before.values()):
            continue
        if retry_failed:
            cells = of.again(cells, store)
        if not all(job.settled(store) for job in cells):
            here = replace(place, store=where, device=devices[0], threads=threads)
            here = replace(here, inputs=bench.place.inputs)
            with say.watched(cells, bench, store) as screen:
                local.compute(here, bench, cells, devices, jobs, screen)
        code = max(code, say.ended(cells, before, store))
    return code

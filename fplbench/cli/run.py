"""`fplbench run`: from what a user typed to cells, records and a table on the screen."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from fplbench.cli import flags
from fplbench.cli.asked import EXECUTORS, SETTINGS, asked_for, axes_of, executor_of, settings_of
from fplbench.cli.consoles import err, out, warn
from fplbench.cli.options import (
    DataRoot,
    Device,
    DryRun,
    Jobs,
    Plugins,
    RetryFailed,
    SkipBroken,
    home,
)
from fplbench.errors import UserError
from fplbench.machine.caches import cache_folder
from fplbench.machine.place import Place
from fplbench.spec import Request


@flags.with_flags([*SETTINGS, *EXECUTORS])
def run(
    grid: Annotated[
        Path | None,
        typer.Argument(help="A grid in YAML; options given beside it take its values' place."),
    ] = None,
    methods: Annotated[str | None, typer.Option(help="Names with commas between, or all.")] = None,
    strategies: Annotated[
        str | None,
        typer.Option(
            help="How the methods travel: names with commas between; own, each method's own, by "
            "default."
        ),
    ] = None,
    datasets: Annotated[str | None, typer.Option(help="Names with commas between, or all.")] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Settings of a paper's table (list presets); other flags override it."),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(help="Names with commas between; by default each data set's own."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Numbers with commas between; by default 0.")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="tiny, ARCH:PRETRAINED or ARCH:path/to/checkpoint; several with commas between."
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--out", help="The folder that records are written to.")
    ] = Path("results/runs"),
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="KEY=VALUE for any setting of methods, strategies, scenarios or the training, "
            "METHOD.KEY=VALUE, STRATEGY.KEY=VALUE or SCENARIO.KEY=VALUE for one; a list [1,2] is "
            "swept; repeatable.",
        ),
    ] = None,
    tuned: Annotated[
        Path | None,
        typer.Option(help="Settings that `fplbench tune` chose; records and tables say so."),
    ] = None,
    validation: Annotated[
        bool,
        typer.Option("--validation", help="Short for --evaluate-on validation."),
    ] = False,
    skip_broken: SkipBroken = False,
    dry_run: DryRun = False,
    retry_failed: RetryFailed = False,
    device: Device = "auto",
    jobs: Jobs = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Of each process; by default the cores are shared out.", min=1),
    ] = None,
    executor: Annotated[str, typer.Option(help="Where cells are computed (list executors).")] = (
        "local"
    ),
    checkpoint: Annotated[
        float, typer.Option(help="Seconds between checkpoints of a cell; 0: every round.", min=0)
    ] = 30.0,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write scalars to OUT/tensorboard.")
    ] = False,
    keep_predictions: Annotated[
        bool,
        typer.Option(
            "--keep-predictions",
            help="Keep the five likeliest classes of every test image beside each record; "
            "--dry-run names the size.",
        ),
    ] = False,
    plugins: Plugins = None,
    data_root: DataRoot = None,
    **given: Any,
) -> None:
    """Run every method on every data set with every seed; what is done already is skipped."""
    output, grid, data_root, plugins, tuned = map(home, (output, grid, data_root, plugins, tuned))
    names = {"methods": methods, "strategies": strategies, "datasets": datasets}
    axes = axes_of(seeds, "--seeds", scenario, backbone=backbone, **names)
    options, sets = settings_of(given, settings, validation)
    request = _request(preset, grid, axes, options, sets, tuned)
    if not math.isfinite(checkpoint):
        raise UserError(f"--checkpoint {checkpoint}: it is a number of seconds.")
    place = Place(
        store=output,
        cache=cache_folder(),
        plugins=tuple(plugins or ()),
        root=data_root,
        skip_broken=skip_broken,
        threads=threads,
        checkpoint=checkpoint,
        tensorboard=tensorboard,
        keep_predictions=keep_predictions,
    )
    where = executor_of(executor, place, given, dry_run)

    from fplbench.cli import cells as say  # torch: not before the mistakes above are said
    from fplbench.grid import run as of
    from fplbench.grid.scalars import require_tensorboard
    from fplbench.records.store import Store
    from fplbench.report import write

    if tensorboard:
        require_tensorboard()
    devices, store = where.devices(device), Store(output)
    bench, cells = say.opened(request, place, where, devices, jobs)
    before = say.statuses(cells, store)
    for line in of.changes([job.cell for job in cells if before[job.id] == "absent"], bench, store):
        warn(line)
    if keep_predictions:
        say.without_predictions(cells, before, store)
    if dry_run:
        say.dry_run(cells, store, where.processes(devices, jobs), retry_failed)
        if keep_predictions:
            say.size_of_predictions(cells, before, bench, retry_failed)
        return
    if retry_failed:
        cells = of.again(cells, store)
    if not all(job.settled(store) for job in cells):
        place = replace(place, device=devices[0], inputs=bench.place.inputs)
        with say.watched(cells, bench, store) as screen:
            where.compute(place, bench, cells, devices, jobs, screen)
    code = say.ended(cells, before, store)
    write.show(output, [job.id for job in cells], out, err)
    raise typer.Exit(code)


def _request(
    name: str | None,
    grid: Path | None,
    axes: dict[str, Any],
    options: dict[str, Any],
    sets: dict[str, Any],
    tuned: Path | None,
) -> Request:
    """What was asked for: flags alone, or a preset or a grid file with flags beside it; with the
    settings of a file of chosen ones."""
    if tuned is None:
        return asked_for(name, grid, axes, options, sets)
    from fplbench.grid import tune

    chosen = tune.read(tuned)
    if name is None and grid is None:
        axes = {"methods": tuple(chosen.methods), **axes}
    return tune.applied(asked_for(name, grid, axes, options, sets), chosen, tuned)

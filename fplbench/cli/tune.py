"""`fplbench tune`: as many draws of settings for each method, and the best of them in a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from fplbench.grid.searches import Search
from fplbench.machine.caches import cache_folder
from fplbench.machine.place import Place
from fplbench.records.phrases import some
from fplbench.spec import Request

if TYPE_CHECKING:
    from fplbench.grid.jobs import Job
    from fplbench.grid.tune import Tuned


@flags.with_flags([*SETTINGS, *EXECUTORS])
def tune(
    grid: Annotated[
        Path | None, typer.Argument(help="A grid in YAML, as for run, with nothing swept.")
    ] = None,
    methods: Annotated[str | None, typer.Option(help="Names with commas between, or all.")] = None,
    datasets: Annotated[str | None, typer.Option(help="Names with commas between, or all.")] = None,
    budget: Annotated[
        int, typer.Option(help="Settings tried of each method; the defaults are the first.", min=2)
    ] = 20,
    tune_seeds: Annotated[
        str, typer.Option(help="Seeds with commas between that no table is to use.")
    ] = "100,101",
    search: Annotated[
        Search,
        typer.Option(
            help="tpe: draws after the tenth are proposed from those before (the extra optuna)."
        ),
    ] = Search.random,
    draw_seed: Annotated[int, typer.Option(help="Decides what is drawn.", min=0)] = 0,
    metric: Annotated[
        str | None,
        typer.Option(help="What is to be high; by default cm, or else the scenario's first."),
    ] = None,
    strategies: Annotated[
        str | None, typer.Option(help="How the methods travel; one, by default each method's own.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Settings of a paper's table (list presets).")
    ] = None,
    scenario: Annotated[
        str | None, typer.Option(help="One name; by default each data set's own.")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="One, as for run.")] = None,
    output: Annotated[
        Path, typer.Option("--out", help="The folder of the records and of tuned.yaml.")
    ] = Path("results/tune"),
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="As for run, nothing swept; what is set is not searched; repeatable."
        ),
    ] = None,
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
    plugins: Plugins = None,
    data_root: DataRoot = None,
    **given: Any,
) -> None:
    """Try settings that are drawn, as many of each method, on validation images and seeds apart,
    and write the best of each method to OUT/tuned.yaml for `run --tuned`.

    The cells are a run's: the same command goes on after a stop, a larger budget adds to them.
    """
    output, grid, data_root, plugins = map(home, (output, grid, data_root, plugins))
    names = {"methods": methods, "strategies": strategies, "datasets": datasets}
    axes = axes_of(tune_seeds, "--tune-seeds", scenario, backbone=backbone, **names)
    options, sets = settings_of(given, settings)
    asked = asked_for(preset, grid, axes, options, sets)
    _refuse(asked)
    search.require(budget)
    place = Place(
        store=output,
        cache=cache_folder(),
        plugins=tuple(plugins or ()),
        root=data_root,
        skip_broken=skip_broken,
        threads=threads,
    )
    where = executor_of(executor, place, given, dry_run)

    from fplbench.cli import cells as say  # torch: not before the mistakes above are said
    from fplbench.grid import tune as of
    from fplbench.grid.run import again
    from fplbench.records.store import Store

    devices, store = where.devices(device), Store(output)
    whole = asked.model_copy(update={"options": {**asked.options, **of.VALIDATION}})
    bench, base = say.opened(whole, place, where, devices, jobs)
    of.require_metric(metric, [job.cell for job in base], bench)
    trials: list[of.Trial] = []
    known: dict[str, Job] = {}
    before: dict[str, str] = {}
    for numbers in search.batches(budget):
        draw = of.drawing(trials, store, draw_seed, metric)
        more = of.trials([job.cell for job in base], asked, bench, numbers, draw)
        trials += more
        new = {job.id: job for trial in more for job in trial.jobs if job.id not in known}
        before |= say.statuses(list(new.values()), store)
        retried = retry_failed and not dry_run
        known |= {job.id: job for job in again(list(new.values()), store)} if retried else new
        cells = list(known.values())
        if not dry_run and not all(job.settled(store) for job in cells):
            place = replace(place, device=devices[0], inputs=bench.place.inputs)
            with say.watched(cells, bench, store) as screen:
                where.compute(place, bench, cells, devices, jobs, screen)
        if not of.complete(cells, store):
            break
    if dry_run:
        say.dry_run(cells, store, where.processes(devices, jobs), retry_failed)
        if numbers.stop < budget:
            later = f"{budget - numbers.stop} more draws of each method are proposed from these."
            out.print(later, markup=False)
        return
    say.ended(cells, before, store)
    found = of.choose(trials, store, budget, draw_seed, asked.seeds, metric, search)
    _tell(found, dict.fromkeys(trial.method for trial in trials))
    if not found.methods:  # a file of an earlier search stays
        line = "Nothing was written: every draw diverged. Try a lower --lr, or other settings."
        err.print(line, style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1)
    path = of.write(found, output)
    line = f"{path}: fplbench run --tuned {path} --datasets ... runs them."
    out.print(line, markup=False, soft_wrap=True)
    raise typer.Exit(int(any(trial.method not in found.methods for trial in trials)))


def _tell(found: Tuned, methods: Iterable[str]) -> None:
    """A line for each method: what was found for it, beside the defaults."""
    for name in methods:
        choice = found.methods.get(name)
        if choice is None:
            warn(f"{name} is left out: all of its {some(found.budget, 'draw')} diverged.")
            continue
        words = ", ".join(f"{key} {value}" for key, value in choice.settings.items())
        usual = "diverged" if choice.defaults is None else f"{choice.defaults:.2f}"
        lost = f" ({some(choice.diverged, 'draw')} diverged)" if choice.diverged else ""
        line = f"{name}: {choice.found:.2f}, the defaults {usual}: {words or 'the defaults'}{lost}"
        out.print(line, markup=False, soft_wrap=True)


def _refuse(asked: Request) -> None:
    """A search is for one setting: what is swept belongs into the run."""
    lists = [key for key, value in (asked.options | asked.sets).items() if isinstance(value, list)]
    if lists:
        raise UserError(
            f"{lists[0]} has several values, and tune draws settings itself: give it one, or tune "
            "for each value into an --out of its own."
        )
    axes = {
        "scenario": asked.scenarios, "strategy": asked.strategies, "backbone": asked.backbones
    }  # fmt: skip
    for what, names in axes.items():
        if len(names) > 1:
            raise UserError(
                f"{', '.join(names)}: settings are chosen for one {what} at a time. Tune for each "
                "into an --out of its own."
            )
    for key, value in (asked.options | asked.sets).items():
        if key.rpartition(".")[2] == "evaluate_on" and str(value) != "validation":
            raise UserError(
                "Settings are chosen on validation images alone: leave evaluate_on out."
            )

"""The command line: what a user types becomes a request; no logic of its own.

torch and what needs it are imported inside the commands, so that help and mistakes are quick.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from fplbench.cli import exam, grid, machine, report
from fplbench.cli.data import app as data
from fplbench.cli.options import DataRoot, Plugins, assignments, listed, listed_seeds, value
from fplbench.errors import UserError
from fplbench.machine.openmp import wait_briefly
from fplbench.spec import Request

app = typer.Typer(
    help="Compare methods of federated prompt learning under one engine and one protocol.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data, name="data")
app.add_typer(machine.cache, name="cache")
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class Kind(StrEnum):
    """What `fplbench list` lists."""

    methods = "methods"
    strategies = "strategies"
    datasets = "datasets"
    scenarios = "scenarios"
    backbones = "backbones"
    presets = "presets"


class Executor(StrEnum):
    """Where cells are computed."""

    local = "local"
    ray = "ray"
    slurm = "slurm"


def main() -> None:
    """Run the command line; a user's mistake ends in one sentence and exit code 2."""
    wait_briefly()
    try:
        app()
    except UserError as error:
        err.print(f"fplbench: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(2)


@app.command()
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
    clients: Annotated[
        str | None, typer.Option(help="Number of clients. (This and all below: 5,10 is swept.)")
    ] = None,
    clients_per_domain: Annotated[str | None, typer.Option(help="In domain scenarios.")] = None,
    alpha: Annotated[str | None, typer.Option(help="Of the Dirichlet split.")] = None,
    shots: Annotated[str | None, typer.Option(help="Training images of each class.")] = None,
    hold_out: Annotated[
        str | None, typer.Option(help="A domain kept from training, or each.")
    ] = None,
    rounds: Annotated[str | None, typer.Option(help="Communication rounds.")] = None,
    local_epochs: Annotated[
        str | None, typer.Option(help="Epochs a client trains a round.")
    ] = None,
    participation: Annotated[
        str | None, typer.Option(help="Share of the clients sampled each round.")
    ] = None,
    batch_size: Annotated[str | None, typer.Option(help="Images of a local step.")] = None,
    lr: Annotated[str | None, typer.Option(help="Learning rate.")] = None,
    views: Annotated[
        str | None, typer.Option(help="Views of a training image, cropped and flipped.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Of matrix products: fp32, tf32 or bf16.")
    ] = None,
    validation: Annotated[
        bool,
        typer.Option(
            "--validation", help="Test on a fifth of the training images, to choose settings by."
        ),
    ] = False,
    skip_broken: Annotated[
        bool,
        typer.Option("--skip-broken", help="Leave out images that cannot be read; recorded."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the cells, what is done, and time and disk needed."),
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
    threads: Annotated[
        int | None,
        typer.Option(help="Of each process; by default the cores are shared out.", min=1),
    ] = None,
    executor: Annotated[
        Executor, typer.Option(help="This machine, Ray or Slurm.")
    ] = Executor.local,
    gpus_per_cell: Annotated[
        float | None, typer.Option(help="For Ray: the part of a GPU that a cell takes.", min=0)
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            help="For Slurm: an option of sbatch as KEY=VALUE, e.g. partition=gpu, time=4:00:00, "
            "gres=gpu:1; or setup=COMMAND, run before a job; repeatable."
        ),
    ] = None,
    cells_per_task: Annotated[
        int | None, typer.Option(help="For Slurm: cells of a job; by default 1.", min=1)
    ] = None,
    checkpoint: Annotated[
        float, typer.Option(help="Seconds between checkpoints of a cell; 0: every round.", min=0)
    ] = 30.0,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write scalars to OUT/tensorboard.")
    ] = False,
    plugins: Plugins = None,
    data_root: DataRoot = None,
) -> None:
    """Run every method on every data set with every seed; what is done already is skipped."""
    flags = {
        "clients": clients,
        "clients_per_domain": clients_per_domain,
        "alpha": alpha,
        "shots": shots,
        "hold_out": hold_out,
        "rounds": rounds,
        "local_epochs": local_epochs,
        "participation": participation,
        "batch_size": batch_size,
        "lr": lr,
        "views": views,
        "precision": precision,
        "evaluate_on": "validation" if validation else None,
    }
    axes = {
        "methods": listed(methods, "--methods"),
        "strategies": listed(strategies, "--strategies"),
        "datasets": listed(datasets, "--datasets"),
        "scenarios": listed(scenario, "--scenario"),
        "backbones": listed(backbone, "--backbone"),
        "seeds": listed_seeds(seeds),
    }
    request = _request(
        preset,
        grid,
        {name: values for name, values in axes.items() if values is not None},
        {name: _swept(text) for name, text in flags.items() if text is not None},
        assignments(settings or []),
    )
    from fplbench.grid import run as grid_run  # torch: not before the mistakes above are said

    how = grid_run.How(
        device=device,
        jobs=jobs,
        threads=threads,
        executor=executor.value,
        gpus_per_cell=gpus_per_cell,
        slurm=tuple(slurm or ()),
        cells_per_task=cells_per_task,
        retry_failed=retry_failed,
        tensorboard=tensorboard,
        checkpoint=checkpoint,
        skip_broken=skip_broken,
        dry_run=dry_run,
    )
    raise typer.Exit(grid_run.run(request, output, how, plugins or [], data_root, out, err))


@app.command(name="list")
def list_(kind: Kind, plugins: Plugins = None, data_root: DataRoot = None) -> None:
    """List methods, strategies, data sets, scenarios, backbones or presets."""
    from fplbench.cli import lists

    out.print(lists.listing(kind.value, plugins or [], data_root))


@app.command()
def show(
    path: Annotated[
        Path, typer.Argument(help="A cell's folder, a folder of cells, or a packed file.")
    ],
) -> None:
    """Show a record, or the records of a folder."""
    from fplbench.cli import lists

    for part in lists.shown(path):
        out.print(part)


app.command()(grid.status)
app.command()(grid.check)
app.command()(grid.stability)
app.command()(exam.exam)
app.command()(report.tables)
app.command()(report.plots)
app.command()(report.report)
app.command()(report.pack)
app.command()(machine.doctor)


def _request(
    name: str | None,
    grid: Path | None,
    axes: dict[str, Any],
    options: dict[str, Any],
    sets: dict[str, Any],
) -> Request:
    """What was asked for: flags alone, or a preset or a grid file with flags beside it."""
    from fplbench.grid import gridfile
    from fplbench.grid.preset import overridden, preset

    if name is None:
        return gridfile.request({} if grid is None else gridfile.read(grid), axes, options, sets)
    if grid is not None:
        raise UserError(f"--preset {name} and {grid} each say what to run: leave one out.")
    chosen = preset(name)
    for line in chosen.explained():
        err.print(line, markup=False, soft_wrap=True)
    return overridden(chosen, axes, options, sets)


def _swept(text: str) -> Any:
    """The value of a flag, or a list of them."""
    values = [value(part.strip()) for part in text.split(",")]
    return values[0] if len(values) == 1 else values

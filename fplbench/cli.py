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

from fplbench import machine_commands, report_commands
from fplbench.data.commands import app as data
from fplbench.errors import UserError
from fplbench.options import DataRoot, Plugins
from fplbench.spec import Request

app = typer.Typer(
    help="Compare methods of federated prompt learning under one engine and one protocol.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data, name="data")
app.add_typer(machine_commands.cache, name="cache")
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class Kind(StrEnum):
    """What `fplbench list` lists."""

    methods = "methods"
    datasets = "datasets"
    scenarios = "scenarios"
    backbones = "backbones"
    presets = "presets"


def main() -> None:
    """Run the command line; a user's mistake ends in one sentence and exit code 2."""
    try:
        app()
    except UserError as error:
        err.print(f"fplbench: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(2)


@app.command()
def run(
    methods: Annotated[str | None, typer.Option(help="Names with commas between, or all.")] = None,
    datasets: Annotated[str | None, typer.Option(help="Names with commas between, or all.")] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Settings of a paper's table (list presets); other flags override it."),
    ] = None,
    scenario: Annotated[
        str | None, typer.Option(help="One for all data sets; by default each one's own.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Numbers with commas between; by default 0.")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="tiny (the default), ARCH:PRETRAINED or ARCH:path/to/checkpoint."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:0.")] = "auto",
    output: Annotated[
        Path, typer.Option("--out", help="The folder that records are written to.")
    ] = Path("results/runs"),
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="KEY=VALUE for all methods that have it, METHOD.KEY=VALUE for one; repeatable.",
        ),
    ] = None,
    clients: Annotated[int | None, typer.Option(help="Number of clients.")] = None,
    clients_per_domain: Annotated[int | None, typer.Option(help="In domain scenarios.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Of the Dirichlet split.")] = None,
    shots: Annotated[int | None, typer.Option(help="Training images of each class.")] = None,
    hold_out: Annotated[
        str | None, typer.Option(help="A domain kept from training, or each.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Communication rounds.")] = None,
    local_epochs: Annotated[
        int | None, typer.Option(help="Epochs a client trains a round.")
    ] = None,
    participation: Annotated[
        float | None, typer.Option(help="Share of the clients sampled each round.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images of a local step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    views: Annotated[
        int | None, typer.Option(help="Views of a training image, cropped and flipped.")
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
    plugins: Plugins = None,
    data_root: DataRoot = None,
) -> None:
    """Run every method on every data set with every seed; what is done already is skipped."""
    options = {
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
    given = {
        "methods": None if methods is None else _names(methods, "--methods"),
        "datasets": None if datasets is None else _names(datasets, "--datasets"),
        "scenario": scenario,
        "seeds": None if seeds is None else _seeds(seeds),
        "backbone": backbone,
    }
    request = _request(
        preset, _without_none(given), _without_none(options), _assignments(settings or [])
    )
    from fplbench import session  # torch: not before the mistakes above are said

    code = session.run(
        request, output, device, plugins or [], data_root, out, err, skip_broken=skip_broken
    )
    raise typer.Exit(code)


@app.command(name="list")
def list_(kind: Kind, plugins: Plugins = None, data_root: DataRoot = None) -> None:
    """List methods, data sets, scenarios or backbones."""
    from fplbench import listing

    out.print(listing.listing(kind.value, plugins or [], data_root))


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="A cell's folder, or a folder of cells.")],
) -> None:
    """Show a record, or the records of a folder."""
    from fplbench import listing

    for part in listing.shown(path):
        out.print(part)


app.command()(report_commands.tables)
app.command()(report_commands.plots)
app.command()(report_commands.report)
app.command()(machine_commands.doctor)


def _request(
    name: str | None, given: dict[str, Any], options: dict[str, Any], sets: dict[str, Any]
) -> Request:
    """What was asked for: flags alone, or a preset with flags beside it."""
    from fplbench.preset import overridden, preset

    if name is not None:
        chosen = preset(name)
        for line in chosen.explained():
            err.print(line, markup=False, soft_wrap=True)
        return overridden(chosen, given, options, sets)
    for field in ("methods", "datasets"):
        if field not in given:
            raise UserError(f"Say what to run: --{field} NAMES, or a --preset that names them.")
    return Request(**given, options=options, sets=sets)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _names(text: str, flag: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise UserError(f"{flag} is empty: give names with commas between, or all.")
    return names


def _seeds(text: str) -> tuple[int, ...]:
    parts = _names(text, "--seeds")
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"--seeds {text}: seeds are whole numbers from 0, e.g. --seeds 0,1,2.")
    return tuple(map(int, parts))


def _assignments(texts: list[str]) -> dict[str, Any]:
    import json

    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--set {text}: write KEY=VALUE or METHOD.KEY=VALUE.")
        try:
            found[key.strip()] = json.loads(value)
        except json.JSONDecodeError:
            found[key.strip()] = value
    return found

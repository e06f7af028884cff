"""`fplbench data`: what data sets there are, getting them, checking them, looking at them.

What needs torch is imported inside the commands, so that help and mistakes are quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fplbench.cli import flags
from fplbench.cli.consoles import err, out
from fplbench.cli.options import DataRoot, Once, Plugins, SkipBroken, assignments, at_home
from fplbench.errors import UserError
from fplbench.machine.caches import cache_folder
from fplbench.plugins.written import written
from fplbench.records.atomic import OUT, require_writable

app = typer.Typer(
    help="Data sets: what is there, download, verify, show, partition.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Names = Annotated[list[str], typer.Argument(help="Data sets, by the names that `data list` shows.")]
Name = Annotated[str, typer.Argument(help="A data set, by the name that `data list` shows.")]
Out = Annotated[Path | None, typer.Option("--out", help="The picture; default: NAME-....png here.")]
SCENARIO = flags.of_scenarios()
Seed = Annotated[int, typer.Option(help="Of what is drawn at random.", min=0)]


@app.command(name="list", cls=Once)
@at_home
def list_(plugins: Plugins = None, data_root: DataRoot = None) -> None:
    """List all data sets: which are there, where they were looked for, how to get the others."""
    from fplbench.data import overview

    out.print(overview.overview(plugins or [], data_root))


@app.command(cls=Once)
@at_home
def download(
    names: Names,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the archives in ROOT/.downloads/NAME.")
    ] = False,
    plugins: Plugins = None,
    data_root: DataRoot = None,
) -> None:
    """Download data sets into the data root; an interrupted download is continued."""
    from fplbench.data import download, overview
    from fplbench.data.progress import on_console

    classes = overview.to_download(names, plugins or [])
    try:
        for cls in classes:
            download.install(
                cls,
                data_root,
                on_console(err, in_bytes=True),
                lambda text: out.print(text, markup=False, soft_wrap=True),
                keep,
            )
    except KeyboardInterrupt:
        err.print("Stopped. What was downloaded is kept; the same command goes on from there.")
        raise typer.Exit(130) from None


@app.command(cls=Once)
@at_home
def verify(names: Names, plugins: Plugins = None, data_root: DataRoot = None) -> None:
    """Open every image, count classes against the published numbers, look for duplicates.

    Ends with exit code 1 if anything is unusable or the numbers differ.
    """
    from fplbench.data import overview, verify
    from fplbench.data.progress import on_console

    sound = True
    for cls in overview.there(names, plugins or [], data_root):
        with on_console(err)(f"reading {cls.name}") as progress:
            report = verify.verify(cls, data_root, cache_folder(), progress)
        for part in verify.shown(report):
            out.print(part)
        sound = sound and report.sound
    raise typer.Exit(0 if sound else 1)


@app.command(cls=Once)
@at_home
def show(
    name: Name,
    classes: Annotated[int, typer.Option(help="How many classes.", min=1)] = 10,
    images: Annotated[int, typer.Option(help="How many images of each, and domain.", min=1)] = 8,
    seed: Seed = 0,
    output: Out = None,
    skip_broken: SkipBroken = False,
    plugins: Plugins = None,
    data_root: DataRoot = None,
) -> None:
    """Draw a contact sheet: some images of some classes, with names and domains."""
    from fplbench.data import overview, sheet
    from fplbench.data.prepare import prepared
    from fplbench.data.progress import on_console

    cls = overview.the_one(name, plugins or [], data_root)
    path = output or Path(f"{overview.as_file(cls.name)}-sheet.png")
    require_writable(path.parent, OUT)
    with on_console(err)(f"examining {cls.name}") as progress:
        data = prepared(cls, data_root, cache_folder(), skip_broken, progress)
    out.print(sheet.draw(data, classes, images, seed, path), markup=False, soft_wrap=True)


@app.command(cls=Once)
@at_home
@flags.with_flags(SCENARIO)
def partition(
    name: Name,
    scenario: Annotated[str | None, typer.Option(help="Default: the data set's own.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE for any setting of the scenario; repeatable."),
    ] = None,
    seed: Seed = 0,
    output: Out = None,
    write: Annotated[
        Path | None,
        typer.Option(
            help="A file, .csv or .json, for who holds which image: --scenario file:PATH."
        ),
    ] = None,
    skip_broken: SkipBroken = False,
    plugins: Plugins = None,
    data_root: DataRoot = None,
    **given: Any,
) -> None:
    """Draw who holds how many training images of which class; write it down with --write."""
    from fplbench.data import holdings, overview, partition_files
    from fplbench.data.prepare import prepared
    from fplbench.data.progress import on_console
    from fplbench.plugins import registry
    from fplbench.split.options import clients_of

    options = {name: written(text) for name, text in flags.given(SCENARIO, given).items()}
    cls = overview.the_one(name, plugins or [], data_root)
    scenarios = registry.scenarios(plugins or [])
    chosen = holdings.chosen_scenario(
        scenarios,
        scenario or registry.usual(cls, scenarios),
        options,
        assignments(settings or []),
    )
    path = output or Path(f"{overview.as_file(cls.name)}-{overview.as_file(chosen.name)}.png")
    require_writable(path.parent, OUT)
    if write is not None:
        partition_files.require_form(write)
    with on_console(err)(f"examining {cls.name}") as progress:
        data = prepared(cls, data_root, cache_folder(), skip_broken, progress)
    one, *others = chosen.expand(data.domains)
    if others:
        raise UserError(
            f"That stands for {1 + len(others)} partitions, and one is drawn at a time: name it "
            "instead."
        )
    made = clients_of(one, data, seed)
    lines = holdings.draw(data, made, f"{name}: {one.words()}, seed {seed}", path)
    if write is not None:
        partition_files.write(write, data, made)
        lines.append(str(write))
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)

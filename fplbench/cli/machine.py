"""The commands about this machine: doctor, cache."""

from __future__ import annotations

from typing import Annotated

import typer

from fplbench.cli.consoles import out
from fplbench.cli.options import DataRoot, Plugins
from fplbench.machine import caches
from fplbench.machine.caches import cache_folder
from fplbench.records.phrases import some

cache = typer.Typer(
    help="What fplbench keeps to be quick: features, rendered pictures, examined files.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def doctor(plugins: Plugins = None, data_root: DataRoot = None) -> None:
    """Say what this machine has: Python, torch, GPUs, weights, data, and what can run now."""
    from fplbench.cli import doctor

    machine = doctor.examine(plugins or [], data_root)
    lines = list(doctor.findings(machine, data_root, cache_folder()))
    # The long table first, so that a terminal ends with what it follows from.
    out.print(doctor.shown(list(doctor.commands(machine)), ("command", "runs now", "what to do")))
    out.print()
    out.print(doctor.shown(lines, ("what", "found", "what to do")))


@cache.command(name="list")
def list_() -> None:
    """List the caches, their sizes and where they lie."""

    for kept in caches.look(cache_folder()):
        what = caches.KINDS[kept.kind]
        line = f"{kept.kind}: {kept.shown} in {some(kept.files, 'file')}, {kept.folder} ({what})"
        out.print(line, markup=False, soft_wrap=True)


@cache.command()
def clear(
    kinds: Annotated[list[str], typer.Argument(help="features, datasets, or all.")],
) -> None:
    """Delete caches; they are made again when they are needed. Results stay."""

    for kept in caches.clear(cache_folder(), kinds):
        line = f"{kept.kind}: {some(kept.files, 'file')} deleted, {kept.shown}"
        out.print(line, markup=False, soft_wrap=True)

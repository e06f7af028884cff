"""The command line: its commands and its end.

torch and what needs it are imported inside the commands, so that help and mistakes are quick.
"""

from __future__ import annotations

import importlib
import io
import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from fplbench.cli.consoles import err
from fplbench.cli.options import Once, at_home
from fplbench.errors import UserError
from fplbench.machine.openmp import wait_briefly

COMPUTING = {
    *("filelock", "numba", "open_clip", "pebble", "safetensors", "sklearn", "timm", "torch"),
    "torchvision",
}
"""What reading results does without; requirements-report.txt has the rest."""

COMMANDS = {
    "demo": "demo:demo",
    "run": "run:run",
    "tune": "tune:tune",
    "list": "lists:list_",
    "show": "lists:show",
    "status": "store:status",
    "check": "store:check",
    "stability": "stability:stability",
    "rerun": "rerun:rerun",
    "attack": "attack:attack",
    "exam": "exam:exam",
    "new": "new:new",
    "tables": "report:tables",
    "plots": "report:plots",
    "report": "report:report",
    "predictions": "predictions:predictions",
    "pack": "packs:pack",
    "merge": "packs:merge",
    "doctor": "machine:doctor",
    "data": "data:app",
    "cache": "machine:cache",
}
"""Name -> module of this folder:what it holds, in the order of the help; a command or a group."""

AS_TYPED = {"run", "tune"}
"""Those that expand ~ themselves, so that nothing stands between the command and a cell."""


def command_line(asked: str | None) -> typer.Typer:
    """The app with the command asked for, whose module alone is imported; with all of them where
    none has that name, for help and mistakes name them all."""
    app = typer.Typer(
        help="Compare methods of federated prompt learning under one engine and one protocol.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_about)  # without one an app of one command takes no command's name
    for name in [asked] if asked in COMMANDS else COMMANDS:
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(importlib.import_module(f"fplbench.cli.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name, cls=Once)(command if name in AS_TYPED else at_home(command))
    return app


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"fplbench {version('fplbench')}")
        raise typer.Exit


def _about(
    shown: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit."),
    ] = False,
) -> None:
    """What stands before every command."""


def main() -> None:
    """Run the command line; a user's mistake ends in one sentence and exit code 2."""
    wait_briefly()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show, it shows by number
            stream.reconfigure(errors="backslashreplace")
    try:
        command_line(sys.argv[1] if len(sys.argv) > 1 else None)()
    except UserError as error:
        _refuse(str(error))
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing not in COMPUTING:
            raise
        _refuse(
            f"This needs {missing}, which is not installed: this environment can only read results "
            "(tables, plots, report, show, pack, merge, check, status, predictions); `pip install "
            "fplbench` brings the rest."
        )
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        torch, vision = (f"{name} {version(name)}" for name in ("torch", "torchvision"))
        _refuse(
            f"{vision} was not built for {torch}: install both anew from one place, as `pip "
            "install --force-reinstall torch torchvision` does with the options that torch came by."
        )


def _refuse(sentence: str) -> NoReturn:
    err.print(f"fplbench: {sentence}", style="red", markup=False, soft_wrap=True)
    sys.exit(2)

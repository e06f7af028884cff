"""The command line: its commands and its end.

torch and what needs it are imported inside the commands, so that help and mistakes are quick.
"""

from __future__ import annotations

import io
import sys
from typing import NoReturn

import typer

from fplbench.cli import exam, lists, machine, packs, report, store
from fplbench.cli.attack import attack
from fplbench.cli.consoles import err
from fplbench.cli.data import app as data
from fplbench.cli.demo import demo
from fplbench.cli.new import new
from fplbench.cli.options import at_home
from fplbench.cli.predictions import predictions
from fplbench.cli.rerun import rerun
from fplbench.cli.run import run
from fplbench.cli.stability import stability
from fplbench.cli.tune import tune
from fplbench.errors import UserError
from fplbench.machine.openmp import wait_briefly

COMPUTING = {
    *("filelock", "numba", "open_clip", "pebble", "safetensors", "sklearn", "timm", "torch"),
    "torchvision",
}
"""What reading results does without; requirements-report.txt has the rest."""

app = typer.Typer(
    help="Compare methods of federated prompt learning under one engine and one protocol.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(at_home(demo))
app.command()(run)  # expands ~ itself: nothing stands between the command and a cell
app.command()(tune)
app.command(name="list")(at_home(lists.list_))
app.command()(at_home(lists.show))
app.command()(at_home(store.status))
app.command()(at_home(store.check))
app.command()(at_home(stability))
app.command()(at_home(rerun))
app.command()(at_home(attack))
app.command()(at_home(exam.exam))
app.command()(at_home(new))
app.command()(at_home(report.tables))
app.command()(at_home(report.plots))
app.command()(at_home(report.report))
app.command()(at_home(predictions))
app.command()(at_home(packs.pack))
app.command()(at_home(packs.merge))
app.command()(at_home(machine.doctor))
app.add_typer(data, name="data")
app.add_typer(machine.cache, name="cache")


def main() -> None:
    """Run the command line; a user's mistake ends in one sentence and exit code 2."""
    wait_briefly()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show, it shows by number
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except UserError as error:
        _refuse(str(error))
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing not in COMPUTING:
            raise
        _refuse(
            f"This needs {missing}, which is not installed: this environment can only read results "
            "(tables, plots, report, show, pack, check, status, predictions); `pip install "
            "fplbench` brings the rest."
        )


def _refuse(sentence: str) -> NoReturn:
    err.print(f"fplbench: {sentence}", style="red", markup=False, soft_wrap=True)
    sys.exit(2)

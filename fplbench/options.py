"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugins", help="A folder of your own methods and data sets; repeatable."),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root", envvar="FPLBENCH_DATA", help="The folder of data sets; by default ./data."
    ),
]

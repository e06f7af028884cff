"""`fplbench predictions`: CSV of what `run --keep-predictions` has kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fplbench.cli.consoles import err, out
from fplbench.errors import UserError


def predictions(
    results: Annotated[Path, typer.Argument(help="A folder with records, at any depth.")],
    confusion: Annotated[
        bool,
        typer.Option("--confusion", help="How often each class is taken for which, by client."),
    ] = False,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="How often each two methods answer alike.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--out", help="Default: RESULTS/predictions.")
    ] = None,
) -> None:
    """Make CSV files of predictions that `run --keep-predictions` has kept, without a run."""
    if not (confusion or agreement):
        raise UserError("Say what to make of the predictions: --confusion, --agreement or both.")
    from fplbench.records.atomic import OUT, require_writable
    from fplbench.records.predictions import require_predictions
    from fplbench.report import predictions as reporting
    from fplbench.report import write

    folder = output or results / "predictions"
    require_writable(folder, OUT)
    found = require_predictions(write.records(results, err)[0], results)
    if confusion:
        out.print(str(reporting.write_confusion(found, folder)), markup=False, soft_wrap=True)
    if agreement:
        out.print(str(reporting.write_agreement(found, folder)), markup=False, soft_wrap=True)

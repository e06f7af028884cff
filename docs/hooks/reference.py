"""The report of the committed reference results: what `fplbench report` makes of them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from fplbench.report.write import write_page

RESULTS = Path(__file__).parents[2] / "results" / "reference"
PAGE = "reference/report.html"


def page() -> bytes:
    """One HTML file with all that it needs in it."""
    quiet = Console(quiet=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        write_page(RESULTS, file, False, quiet, quiet)
        return file.read_bytes()

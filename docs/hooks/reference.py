"""The report of the committed reference results: what `fplbench report` makes of them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from fplbench.records import packed
from fplbench.records.record import Record
from fplbench.report.write import write_page

RESULTS = Path(__file__).parents[2] / "results" / "reference"
PAGE = "reference/report.html"
# Those that all methods have. With the demo's other four in it, every method that is not the demo's
# would be marked as one of which seeds are missing, and ranked with none.
SEEDS = range(8)


def page() -> bytes:
    """One HTML file with all that it needs in it."""
    quiet = Console(quiet=True)
    with tempfile.TemporaryDirectory() as folder:
        for found in RESULTS.glob("*.jsonl.gz"):
            cells = [cell for cell in packed.read(found) if isinstance(cell, Record)]
            packed.write([cell for cell in cells if cell.seed in SEEDS], Path(folder) / found.name)
        file = Path(folder) / "report.html"
        write_page(Path(folder), file, False, quiet, quiet)
        return file.read_bytes()

"""Where a store's seconds went: for `fplbench status --times`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from fplbench.errors import UserError
from fplbench.grid.plan import duration
from fplbench.records.phrases import some
from fplbench.records.record import Record
from fplbench.records.results import hardware
from fplbench.records.store import Store, require_folder
from fplbench.spec import OWN

PHASES = ("start", "features", "train", "evaluate")
"""As records call them; what is left of a cell's total is `rest`."""
BELOW = (
    "Seconds a cell, the mean over cells. start: of a process, before its first cell (Python, "
    "torch, plug-ins); features: images through the frozen tower, or read; rest: clients, "
    "checkpoints, the record. Tables and pages are commands of their own."
)


def show(root: Path, out: Console) -> None:
    """Print a row for the cells of each method, data set and scenario."""
    require_folder(root)
    records = Store(root).records()
    timed = [record for record in records if "total" in record.times]
    if not timed:
        raise UserError(f"no cell in {root} has its times: run some first.")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Method", no_wrap=True)
    for head in ("cells", *PHASES, "rest", "total"):
        table.add_column(head, justify="right")
    before = ""
    for cells in _alike(timed):
        first = cells[0]
        where = f"{first.dataset}, {first.scenario}"
        if where != before:
            table.add_row(Text(where, style="bold"))
            before = where
        seconds = (f"{value / len(cells):.2f}" for value in _spent(cells).values())
        table.add_row("  " + _label(first), str(len(cells)), *seconds)
    every = _spent(timed)
    shares = ", ".join(
        f"{name} {duration(seconds)}" for name, seconds in every.items() if name != "total"
    )
    hosts = sorted({each for record in timed if (each := hardware(record))})
    out.print(
        Group(
            table,
            Text(f"{some(len(timed), 'cell')}, {duration(every['total'])} of computing: {shares}."),
            Text(f"On {'; '.join(hosts) or 'unknown hardware'}."),
            Text(BELOW),
        )
    )


def _alike(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Cells that differ in their seed or settings alone, by name."""
    found: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        found.setdefault((record.dataset, record.scenario, _label(record)), []).append(record)
    yield from (found[key] for key in sorted(found))


def _spent(cells: Sequence[Record]) -> dict[str, float]:
    """Seconds of all of them in each phase. A process starts before a cell's own time begins."""
    spent = {name: sum(cell.times.get(name, 0.0) for cell in cells) for name in PHASES}
    inside = sum(cell.times["total"] for cell in cells)
    rest = inside - sum(spent[name] for name in PHASES if name != "start")
    return spent | {"rest": rest, "total": inside + spent["start"]}


def _label(record: Record) -> str:
    return record.title + ("" if record.strategy == OWN else f", {record.strategy}")

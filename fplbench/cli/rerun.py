"""`fplbench rerun`: a finished cell once more, and whether its numbers come out again."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from fplbench.cli import flags
from fplbench.cli.consoles import err, out
from fplbench.cli.options import DataRoot, Device, Plugins, SkipBroken
from fplbench.errors import UserError
from fplbench.machine.caches import cache_folder
from fplbench.machine.place import Place
from fplbench.plugins import registry

if TYPE_CHECKING:
    from fplbench.records.agreement import Number
    from fplbench.records.record import Record

ROUNDING = 0.5
"""What rounding may move in a seed's number, in its measure's unit (docs/protocol.md)."""


def rerun(
    path: Annotated[Path, typer.Argument(help="A cell's folder, or a folder or file of records.")],
    cell: Annotated[
        str | None, typer.Option(help="Where there are several: how the cell's name begins.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="By default as many as the record says.", min=1)
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also where code, data or settings have changed since.")
    ] = False,
    device: Device = "auto",
    skip_broken: SkipBroken = False,
    plugins: Plugins = None,
    data_root: DataRoot = None,
) -> None:
    """Compute a finished cell once more and compare its numbers with the record's, which stays as
    it is.

    Ends with exit code 1 if a number moved by more than rounding does.
    """
    record = _chosen(path, cell)
    from fplbench.records.agreement import compared

    with TemporaryDirectory() as scratch:
        place = Place(
            store=Path(scratch),
            cache=cache_folder(),
            plugins=tuple(plugins or ()),
            root=data_root,
            skip_broken=skip_broken,
            threads=threads or int(str(record.hardware.get("threads") or 0)) or None,
        )
        now = _computed(record, place, device, anyway)
    if now.status != "done":
        raise UserError(f"It {now.status} this time: {now.error.message if now.error else ''}")
    raise typer.Exit(_told(list(compared(record, now))))


def _chosen(path: Path, name: str | None) -> Record:
    """The one finished record that is meant."""
    from fplbench.records.results import read_cells
    from fplbench.records.store import is_cell, read_record

    if not path.exists():
        raise UserError(f"There is nothing at {path}: give a cell's folder or a folder of cells.")
    if is_cell(path):
        records = [read_record(path)]
    else:
        records = [r for _, r in read_cells(path)[0] if r.id.startswith(name or "")]
    done = [record for record in records if record.status == "done"]
    if not done:
        raise UserError(
            f"There is no finished cell at {path}{f' called {name}...' if name else ''}."
        )
    if len(done) > 1:
        names = ", ".join(record.id for record in done[:3]) + (", ..." if len(done) > 3 else "")
        raise UserError(f"{len(done)} cells fit ({names}): name one with --cell.")
    return done[0]


def _computed(record: Record, place: Place, device: str, anyway: bool) -> Record:
    """The cell's record of today."""
    from fplbench.cli import cells as say
    from fplbench.data.progress import on_console
    from fplbench.grid import run as of
    from fplbench.grid.again import job_of
    from fplbench.records.store import Store

    local = flags.made(registry.executors(), "local", {})
    devices = local.devices(device)
    bench = of.bench_of(place, local, devices, 1, on_console(err))
    of.present((record.dataset,), bench)
    job, why = job_of(record, bench)
    if job is None or (why and not anyway):
        more = "" if job is None else "; --anyway computes what it is now"
        raise UserError(f"The record was made before {why}, so it is another cell today{more}.")
    of.read_together([job.cell], bench)
    with say.watched([job], bench, Store(place.store)) as screen:
        local.compute(bench.place, bench, [job], devices, 1, screen)
    now = Store(place.store).find(job.id)
    assert now is not None
    return now


def _told(numbers: list[Number]) -> int:
    """Says whether the numbers came out again; the exit code. UserError: there are none."""
    if not numbers:
        raise UserError("The cell of today has none of the record's metrics: nothing to compare.")
    from fplbench.records.agreement import apart, furthest_first

    moved = furthest_first(numbers)
    name, before, now = moved[0]
    far = apart(moved[0])
    if far == 0:
        out.print(f"All {len(moved)} numbers came out again, to the last bit.")
    elif far < ROUNDING:
        out.print(
            f"All {len(moved)} numbers came out again to rounding: {name} moved most, from "
            f"{before:.4f} to {now:.4f}."
        )
    else:
        out.print("These numbers did not come out again:")
        for name, before, now in (each for each in moved if apart(each) >= ROUNDING):
            out.print(f"  {name}: {before:.2f} in the record, {now:.2f} now", markup=False)
        return 1
    return 0

"""A cell once more: what a record is of, and whether it can be made again."""

from __future__ import annotations

from pydantic import ValidationError

from fplbench.features.stock import Workbench
from fplbench.grid.jobs import Job
from fplbench.grid.stale import Made, earlier
from fplbench.records.record import Record
from fplbench.spec import Cell


def cell_of(record: Record) -> Cell | None:
    """The cell that a record is of; None where there are no longer such settings."""
    fields = {name: getattr(record, name) for name in Cell.model_fields}
    try:
        return Cell.model_validate(fields)
    except ValidationError:
        return None


def job_of(record: Record, bench: Workbench) -> tuple[Job | None, str]:
    """The job that makes a record's cell again, and why it would make another one: "" where
    nothing has changed since."""
    cell = cell_of(record)
    if cell is None:
        return None, "its settings changed"
    kind = bench.methods.get(cell.method)
    identity = bench.identity(cell, kind)
    job = Job(cell, cell.id(identity))
    if job.id == record.id:
        return job, ""
    made = Made(cell, identity, bench.code(cell, kind))
    reasons = [why for _, why in earlier([made], [record])]
    return job, reasons[0] if reasons else "something that makes it changed"

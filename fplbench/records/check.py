"""Whether every file of a store is what was written, and what to do about those that are not."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

from fplbench.records.record import Record
from fplbench.records.store import (
    SUMS,
    WORK,
    DamagedRecord,
    read_checked,
    read_history,
    read_record,
)


def damage(folder: Path) -> Iterator[str]:
    """A sentence for each file of a cell that is not what was written."""
    do = f"delete the folder {folder} and run the cell again"
    try:
        record: Record = read_record(folder)
    except DamagedRecord as error:
        yield f"{folder}: {error}"
        return
    if record.id != folder.name:
        yield f"{folder}: it holds the record of {record.id}; rename the folder to that, or {do}"
    try:
        read_history(folder)
        sums = (folder / SUMS).read_text(encoding="utf-8", errors="replace")
        for line in sums.splitlines():
            read_checked(folder, line.partition("  ")[2])
    except DamagedRecord as error:
        yield f"{folder}: {error}"


def unfinished(root: Path, running: Container[str]) -> Iterator[str]:
    """A line for each folder of a cell that neither runs nor has been moved into its place."""
    for kind, what in ((WORK, "log or checkpoint"), (".partial", "unfinished record")):
        folder = root / kind
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name in running:
                continue
            if (root / path.name).is_dir():
                yield f"{path}: the {what} of a cell that has its record; it can be deleted"
            else:
                yield f"{path}: the {what} of an interrupted cell; the same run goes on from it"

"""`fplbench check`: is every file of a store what was written, and if not, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from fplbench.errors import UserError
from fplbench.grid.claims import FOLDER, Claims
from fplbench.records.record import Record
from fplbench.records.store import (
    SUMS,
    WORK,
    DamagedRecord,
    cell_folders,
    read_checked,
    read_history,
    read_record,
)


def show(root: Path, out: Console) -> int:
    """Print what is wrong and what was left behind; 1 if anything is damaged."""
    if not root.is_dir():
        raise UserError(f"there is no folder {root}: name the one that --out of the run named.")
    folders = cell_folders(root)
    wrong = [line for folder in folders for line in damage(folder)]
    for line in wrong:
        out.print(line, style="red", markup=False, soft_wrap=True)
    for line in left_behind(root):
        out.print(line, markup=False, soft_wrap=True)
    bad = len({line.partition(": ")[0] for line in wrong})
    out.print(f"{len(folders)} cells: {len(folders) - bad} whole, {bad} damaged.")
    return 1 if wrong else 0


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
        for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
            read_checked(folder, line.partition("  ")[2])
    except DamagedRecord as error:
        yield f"{folder}: {error}"


def left_behind(root: Path) -> Iterator[str]:
    """A line for each thing that a killed run left; none of them is ever shown as a result."""
    claims = Claims(root)
    claimed = claims.all()
    for name, owner in claimed.items():
        if claims.is_dead(name, owner):
            yield (
                f"{name} was left behind by process {owner.pid} of {owner.host}: "
                "the same `fplbench run` takes it over; nothing to do"
            )
        else:
            yield f"{name} is claimed by process {owner.pid} of {owner.host} since {owner.since}"
    for kind, what in ((WORK, "log or checkpoint"), (".partial", "unfinished record")):
        folder = root / kind
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name in claimed:
                continue
            if (root / path.name).is_dir():
                yield f"{path}: the {what} of a cell that has its record; it can be deleted"
            else:
                yield f"{path}: the {what} of an interrupted cell; the same run goes on from it"
    for path in sorted((root / FOLDER).glob("*/.*")) if (root / FOLDER).is_dir() else ():
        yield f"{path}: left by a runner that was killed while it claimed; it can be deleted"

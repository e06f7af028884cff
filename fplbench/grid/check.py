"""`fplbench check`: is every file of a store what was written, and if not, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from fplbench.grid.claims import FOLDER, Claims
from fplbench.records.check import damage, unfinished
from fplbench.records.phrases import some
from fplbench.records.store import FOREIGN, cell_folders, require_folder


def show(root: Path, out: Console) -> int:
    """Print what is wrong and what was left behind; 1 if anything is damaged or cannot be read."""
    require_folder(root)
    folders = cell_folders(root)
    wrong = [line for folder in folders for line in damage(folder)]
    for line in wrong:
        out.print(line, style="red", markup=False, soft_wrap=True)
    for line in left_behind(root):
        out.print(line, markup=False, soft_wrap=True)
    bad = {line.partition(": ")[0] for line in wrong}
    foreign = {line.partition(": ")[0] for line in wrong if FOREIGN in line}
    whole = len(folders) - len(bad)
    counts = f"{some(len(folders), 'cell')}: {whole} whole, {len(bad - foreign)} damaged"
    counts += f", {len(foreign)} whole, but of another version" if foreign else ""
    out.print(f"{counts}.")
    return 1 if wrong else 0


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
    yield from unfinished(root, claimed)
    for path in sorted((root / FOLDER).glob("*/.*")) if (root / FOLDER).is_dir() else ():
        yield f"{path}: left by a runner that was killed while it claimed; it can be deleted"

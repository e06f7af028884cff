"""Many records as one file, to be committed, published or sent: no tensors, no histories, no
predictions. The formats are in `packs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fplbench.errors import UserError
from fplbench.records.atomic import write_aside
from fplbench.records.packs import lines, parquet
from fplbench.records.record import Record
from fplbench.records.store import Problem, read_history

Outcomes = list[tuple[Path, Record | Problem]]
SUFFIXES = (*lines.SUFFIXES, parquet.SUFFIX)


def write(records: Sequence[Record], file: Path) -> Path:
    """Write the cells into a file, whole or not at all. They are ordered by what they are of, so
    that two versions of the file can be compared."""
    require_name(file)
    ordered = sorted(records, key=lambda r: (r.scenario, r.dataset, r.method, r.seed, r.id))
    if file.name.endswith(parquet.SUFFIX):
        data = parquet.content(ordered)
    else:
        data = lines.content(ordered, file.name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with write_aside(file) as aside:
            aside.write(data)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}; choose another name.") from error
    return file


def require_name(file: Path) -> None:
    """UserError where a file of this name would not be found again."""
    if not file.name.endswith(SUFFIXES):
        raise UserError(
            f"{file}: packed records are found by their ending, so name it *{lines.SUFFIX}, "
            f"*{lines.COMPRESSED} or *{parquet.SUFFIX}."
        )


def outcomes(path: Path) -> Outcomes:
    """The cells of a packed file, or of those that lie in a folder itself.

    Not of those further down: a reference among one's own results must not mix with them.
    """
    if path.is_dir():
        named = [each for suffix in SUFFIXES for each in path.glob(f"*{suffix}")]
        files = [file for file in sorted(named) if is_packed(file)]
        return [(file, outcome) for file in files for outcome in _read_beside(file)]
    if not is_packed(path):
        raise UserError(f"{path} is no file of packed records; `fplbench pack` writes such.")
    return [(path, outcome) for outcome in read(path)]


def is_packed(file: Path) -> bool:
    """Whether `write` made this file, be it whole or torn."""
    return file.is_file() and (parquet.is_one(file) or lines.is_one(file))


def read(file: Path) -> list[Record | Problem]:
    """Every cell of a file, or why it cannot be read. UserError: what reads it is not installed."""
    return parquet.read(file) if parquet.is_one(file) else lines.read(file)


def _read_beside(file: Path) -> list[Record | Problem]:
    """`read` of a file among others, which are read whatever is missing for this one."""
    try:
        return read(file)
    except UserError as error:
        return [Problem(file, str(error))]


def history_of(place: Path) -> pd.DataFrame:
    """A row a round of a cell's folder; no row of a cell from a packed file, which has none."""
    return pd.DataFrame({"round": []}) if place.is_file() else read_history(place)

"""Files that are whole or not there: written aside, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def write_aside(path: Path, alone: bool = False) -> Iterator[BinaryIO]:
    """A file beside `path` to write to; at the end of the block it takes that place.

    It is on the disk before it is renamed. If the block or the disk fails, nothing is left of it;
    whoever is killed meanwhile leaves the file that was there before.
    alone: whether the caller holds a lock. If not, others may write the same file at once, and
    the last one's stays; if so, what a killed process left beside it is written over.
    """
    own = "" if alone else f".{os.getpid()}"
    aside = path.with_name(f".{path.name}{own}.partial")
    try:
        with aside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise

"""Files that are whole or not there: written aside, then renamed; and places that take none."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fplbench.errors import UserError


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


def put(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all; a text as UTF-8, what that cannot hold by number."""
    data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    with write_aside(path) as file:
        file.write(data)


OUT = "where the files were to go: name another place with --out"


@contextmanager
def writing(path: Path, what: str) -> Iterator[None]:
    """Turn the system's error on writing there into a UserError. what: what the place is, and what
    to do, as "the folder of caches: name another one in FPLBENCH_CACHE"."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write to {path} ({error.strerror or error}), {what}.") from error


def require_writable(folder: Path, what: str) -> None:
    """UserError where a folder takes no files, or cannot be made; nothing is left behind."""
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    with writing(folder, what):
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        trial = there / f".{os.getpid()}.trial"
        trial.write_bytes(b"")
        trial.unlink()

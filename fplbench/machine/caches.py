"""What fplbench keeps outside of results, all of which can be made again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from rich.filesize import decimal

from fplbench.errors import UserError

# Folder of the cache -> what it holds. Nothing else in there is ours to delete.
KINDS = {
    "features": "image features, one file for each backbone, split and view",
    "datasets": "rendered pictures, and what is known of files that were examined",
}

TAG = "CACHEDIR.TAG"
"""Marks a folder as ours, so that no other one of that name is ever cleared; backup programs skip
what has it (bford.info/cachedir)."""
SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55\n# fplbench's; `fplbench cache clear`.\n"

CACHE = "the folder of caches: name another one in FPLBENCH_CACHE"


def cache_folder() -> Path:
    """Where features and rendered data sets are kept: FPLBENCH_CACHE, or the user's cache."""
    named = os.environ.get("FPLBENCH_CACHE")
    return Path(os.path.expanduser(named) if named else platformdirs.user_cache_dir("fplbench"))


def own(folder: Path) -> Path:
    """A kind's folder, made and marked where it was not there. OSError as it comes."""
    if not folder.is_dir() or not any(folder.iterdir()):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TAG).write_text(SIGNATURE)
    return folder


@dataclass(frozen=True)
class Kept:
    """One kind: the files under its folder, without those that only mark a lock."""

    kind: str
    folder: Path
    files: int
    bytes: int

    @property
    def shown(self) -> str:
        """Its size for people."""
        return decimal(self.bytes)


def look(cache: Path) -> list[Kept]:
    """What each kind takes up."""
    return [_look(kind, cache / kind) for kind in KINDS]


def _look(kind: str, folder: Path) -> Kept:
    sizes = [status for status in map(_size, _files(folder)) if status is not None]
    return Kept(kind, folder, len(sizes), sum(sizes))


def clear(cache: Path, kinds: Sequence[str]) -> list[Kept]:
    """Delete these kinds, `all` for each; what they took up. UserError: there is no such kind."""
    chosen = list(KINDS) if list(kinds) == ["all"] else list(dict.fromkeys(kinds))
    unknown = [kind for kind in chosen if kind not in KINDS]
    if unknown:
        raise UserError(
            f"There is no cache {unknown[0]!r}: clear {', '.join(KINDS)} or all "
            "(open_clip's weights are not ours to delete: `fplbench doctor` says where they lie)."
        )
    gone = [kept for kept in look(cache) if kept.kind in chosen]
    for kept in gone:
        if kept.folder.is_symlink() or (kept.folder.is_dir() and not (kept.folder / TAG).is_file()):
            raise UserError(
                f"{kept.folder} is not known to be fplbench's: it is a link, or lacks the {TAG} "
                "that fplbench leaves there. Nothing was deleted; if it is, delete it by hand."
            )
    for kept in gone:
        if kept.folder.is_dir():
            try:
                shutil.rmtree(kept.folder)
            except OSError as error:
                raise UserError(
                    f"{kept.folder} could not be deleted ({error.strerror}): check whose it is"
                ) from error
    return gone


def folder_bytes(folder: Path) -> int:
    """What lies under a folder, links counted once, at the file they lead to."""
    return sum(size for size in map(_size, _files(folder)) if size is not None)


def _files(folder: Path) -> Iterator[Path]:
    files = folder.rglob("*") if folder.is_dir() else iter(())
    return (p for p in files if p.is_file() and not p.is_symlink() and _counts(p))


def _counts(path: Path) -> bool:
    return path.suffix != ".lock" and path.name != TAG


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:  # another process has just replaced it
        return None

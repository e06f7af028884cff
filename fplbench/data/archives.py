"""Unpacking what came from the net: nothing leaves the folder, no link is made, no bomb."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from fplbench.data.progress import Progress
from fplbench.errors import UserError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
RUBBISH = "__MACOSX"  # copies of file attributes that macOS puts into archives

# Pictures hardly shrink: an archive that grows more than this is no data set.
MOST_GROWTH = 100
ALLOWANCE = 2**30

# RuntimeError: zipfile's for a password or a way of packing that it does not know.
DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
)


def is_archive(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith(ENDINGS)


def unpack(archive: Path, folder: Path, progress: Progress | None = None) -> None:
    """Unpack into a folder, which is made. progress: called with bytes read and to read.

    UserError: a damaged archive; a member with a path out of the folder, a link or a device; more
    data than a data set has or the disk takes. Members before the refused one stay: unpack into a
    folder that is thrown away then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if archive.name.lower().endswith(".zip"):
            _unpack_zip(archive, folder, progress)
        else:
            _unpack_tar(archive, folder, progress)
    except DAMAGED as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"{archive} cannot be unpacked ({problem}): delete it and download it again."
        ) from error


def _unpack_tar(archive: Path, folder: Path, progress: Progress | None) -> None:
    size = archive.stat().st_size
    room = _Room(archive, folder)
    with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:*") as members:
        for member in members:
            if not (member.isreg() or member.isdir()):
                kind = "a link" if member.issym() or member.islnk() else "a device"
                raise _hostile(archive, member.name, f"is {kind}")
            if not _wanted(archive, member.name):
                continue
            room.take(member.size)
            # The filter checks paths a second time and drops owners and odd permissions.
            members.extract(member, folder, filter="data")
            if progress is not None:
                progress(raw.tell(), size)


def _unpack_zip(archive: Path, folder: Path, progress: Progress | None) -> None:
    room = _Room(archive, folder)
    with zipfile.ZipFile(archive) as members:
        listed = list(_checked_members(archive, members))
        whole = sum(member.compress_size for member in listed)
        done = 0
        for member in listed:
            room.take(member.file_size)
            members.extract(member, folder)
            done += member.compress_size
            if progress is not None:
                progress(done, whole)


def _checked_members(archive: Path, members: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    for member in members.infolist():
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _hostile(
                archive, member.filename, "is a link" if stat.S_ISLNK(kind) else "is a device"
            )
        # orig_filename: zipfile itself cuts names at a zero byte.
        if _wanted(archive, member.orig_filename):
            yield member


def _wanted(archive: Path, name: str) -> bool:
    """Whether to unpack a member; UserError if its path leads out of the folder."""
    path = PurePosixPath(name)
    windows = PureWindowsPath(name)
    if path.is_absolute() or windows.drive or windows.root or "\\" in name:
        raise _hostile(archive, name, "is an absolute path or one of Windows")
    if ".." in path.parts:
        raise _hostile(archive, name, "leads out of the folder")
    if "\0" in name:
        raise _hostile(archive, name, "holds a zero byte")
    return RUBBISH not in path.parts


def _hostile(archive: Path, name: str, why: str) -> UserError:
    return UserError(
        f"{archive} is refused: its member {name!r} {why}, which no data set needs. Delete the "
        "file and get it from another place."
    )


class _Room:
    """Counts what is unpacked against what an archive of this size may hold."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.archive = archive
        self.folder = folder
        self.left = ALLOWANCE + MOST_GROWTH * archive.stat().st_size

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise UserError(
                f"{self.archive} is refused: it unpacks to more than {MOST_GROWTH} times its size."
            )
        if size > shutil.disk_usage(self.folder).free:
            raise UserError(f"There is no room left in {self.folder} to unpack {self.archive}.")

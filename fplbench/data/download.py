"""Downloads: resumed after an interruption, checked, unpacked aside, and only then moved in."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from filelock import FileLock

import fplbench
from fplbench.data.archives import is_archive, unpack
from fplbench.data.on_disk import Download, OnDisk, data_root
from fplbench.data.progress import Progress, Watch
from fplbench.errors import UserError
from fplbench.records.atomic import writing

BLOCK = 1 << 20
TIMEOUT = 60  # seconds without a byte
WAITS = (1.0, 4.0, 15.0, 60.0)  # seconds before each further try; only tries without a byte count
ASIDE = ".downloads"
ROOM = "where data sets are kept: make room, or name another --data-root"

# What breaks a connection; HTTPError is a URLError and is looked at before.
BROKEN = (urllib.error.URLError, http.client.HTTPException, OSError)

Say = Callable[[str], None]


def install(
    cls: type[OnDisk],
    root: Path | None,
    watch: Watch,
    say: Say,
    keep: bool = False,
    waits: Sequence[float] = WAITS,
) -> Path:
    """Download a data set into the data root, unless it is there; returns its folder.

    keep: leave the archives in ROOT/.downloads/NAME. What an interruption leaves there is taken up
    again by the next call.
    """
    top = data_root(root)
    place = cls.find(root)
    if place is not None:
        say(f"{cls.name} is there already: {place[1]}")
        return place[1]
    if not cls.downloads:
        raise UserError(f"No program may download {cls.name}: {cls.by_hand}.")
    aside = top / ASIDE / cls.name
    try:
        aside.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{aside} cannot be made ({error.strerror}): name another --data-root."
        ) from error
    with FileLock(top / ASIDE / f"{cls.name}.lock"):
        say(f"{cls.title}: {cls.source}; licence: {cls.licence}")
        files = [fetch(each, aside, watch, say, waits) for each in cls.downloads]
        staging = aside / "unpacked"
        shutil.rmtree(staging, ignore_errors=True)
        try:
            for each, file in zip(cls.downloads, files, strict=True):
                _put(each, file, staging, watch)
            _move(staging, top)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        place = cls.find(root)
        if place is None:
            raise UserError(
                f"What was downloaded for {cls.name} has not the expected folders; the files are "
                f"kept in {aside}. It lacks: {cls().looked_for(root)}."
            )
        if not keep:
            shutil.rmtree(aside)
    say(f"{cls.name} is in {place[1]}; fplbench data verify {cls.name} checks it")
    return place[1]


def fetch(
    download: Download, aside: Path, watch: Watch, say: Say, waits: Sequence[float] = WAITS
) -> Path:
    """The file, downloaded and checked. A .partial file is continued where the server allows."""
    name = PurePosixPath(urlsplit(download.url).path).name
    target = aside / name
    if urlsplit(download.url).scheme not in ("http", "https") or not name:
        raise UserError(f"{download.url} is no address to download from.")
    if target.exists() and _fault(target, download.checksum) is None:
        return target
    partial = aside / f"{name}.partial"
    resumed = partial.exists()
    with watch(name) as progress:
        _receive(download.url, partial, waits, progress)
    fault = _fault(partial, download.checksum)
    if fault is not None and resumed:
        # The beginning may have been of an older file: once more from the start.
        partial.unlink()
        with watch(name) as progress:
            _receive(download.url, partial, waits, progress)
        fault = _fault(partial, download.checksum)
    if fault is not None:
        partial.unlink()
        raise UserError(
            f"{download.url} is not the file that was published ({fault}); it was deleted. Try "
            "again later, or get it from another place."
        )
    if not download.checksum:
        say(f"{name}: nobody published a checksum; its SHA-256 is {_digest(partial, 'sha256')}")
    partial.replace(target)
    return target


def _receive(url: str, partial: Path, waits: Sequence[float], progress: Progress | None) -> None:
    """Append to `partial` until the file is whole; a try that brought bytes is no failed one."""
    failed = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            _append(url, partial, before, progress)
            return
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and before:
                # Whole already, or not a beginning of that file; the checksum tells.
                return
            if error.code < 500 and error.code not in (408, 429):
                raise UserError(
                    f"{url} answers {error.code} {error.reason}: the address may have changed; "
                    "get the file by hand."
                ) from error
            problem: Exception = error
        except BROKEN as error:
            problem = error
        after = partial.stat().st_size if partial.exists() else 0
        failed = 0 if after > before else failed + 1
        if failed > len(waits):
            raise UserError(
                f"{url} cannot be downloaded ({problem}): look at the connection and give the "
                "command again, it goes on from here."
            )
        time.sleep(waits[max(0, failed - 1)] if waits else 0)


def _append(url: str, partial: Path, start: int, progress: Progress | None) -> None:
    headers = {"User-Agent": f"fplbench/{fplbench.__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        continues = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        begins = answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if continues and not begins:
            raise http.client.HTTPException("the server sent another part than was asked for")
        done = start if continues else 0
        length = answer.headers.get("Content-Length")
        whole = None if length is None else done + int(length)
        # What the disk refuses is no broken connection, and is not tried again.
        with writing(partial, ROOM):
            file = partial.open("ab" if continues else "wb", buffering=0)
        with file:
            while block := answer.read(BLOCK):
                rest = memoryview(block)
                while rest:
                    with writing(partial, ROOM):
                        rest = rest[file.write(rest) :]
                done += len(block)
                if progress is not None:
                    progress(done, whole or done)
            with writing(partial, ROOM):
                os.fsync(file.fileno())
    if whole is not None and done < whole:
        raise http.client.HTTPException(f"the connection ended after {done} of {whole} bytes")


def _fault(path: Path, checksum: str) -> str | None:
    """What is wrong with a file's checksum, "md5:..." or "sha256:..."; None if nothing is."""
    if not checksum:
        return None
    kind, _, wanted = checksum.partition(":")
    found = _digest(path, kind)
    return None if found == wanted else f"{kind} {found} instead of {wanted}"


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _put(download: Download, file: Path, staging: Path, watch: Watch) -> None:
    """Unpack an archive, or copy another file, to its place below `staging`."""
    into = staging / download.into
    if not is_archive(file):
        into.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, into)
        return
    with watch(f"unpacking {file.name}") as progress:
        unpack(file, into, progress)
    for name in download.inner:
        inner = into / name
        if not inner.is_file():
            raise UserError(f"{file} lacks {name}: delete it and download it again.")
        with watch(f"unpacking {inner.name}") as progress:
            unpack(inner, inner.parent, progress)
        inner.unlink()


def _move(source: Path, target: Path) -> None:
    """Move a tree into a folder; where a file is there already, the new one takes its place."""
    for path in source.iterdir():
        there = target / path.name
        if path.is_dir() and there.is_dir():
            _move(path, there)
        else:
            path.replace(there)

"""Before a data set is used: every file is opened once, and what is wrong is said in one list.

What was found is kept in the cache with each file's size and time, so that the next run only
looks at files that changed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fplbench.data.images import BLACK, Finding, ImageFiles, examine
from fplbench.data.names import readable, twins
from fplbench.data.progress import Progress
from fplbench.data.reading import loaded
from fplbench.dataset import Data, Dataset, Split, together
from fplbench.errors import UserError
from fplbench.machine.caches import CACHE, own
from fplbench.records.atomic import write_aside, writing

READERS = 8
AT_ONCE = 512
SHOWN = 10
KEPT_AFTER = 20_000
LOOK = 2
"""Rises when the same file is found to be something else than before."""
LONGEST = 150
"""Letters of a folder's name; a file system takes 255 bytes, and files are written beside it."""


@dataclass(frozen=True)
class Stamp:
    """What a file was when it was examined: bytes and nanoseconds."""

    size: int
    time: int


GONE = Stamp(-1, -1)


def checked(
    files: ImageFiles, cache: Path, progress: Progress | None = None, again: bool = False
) -> list[Finding]:
    """One finding for each file, in order. again: read also what has not changed."""
    with writing(cache, CACHE):
        cache.mkdir(parents=True, exist_ok=True)
    place = hashlib.sha256(str(files.folder.resolve()).encode()).hexdigest()[:12]
    index = cache / f"checked-{place}-{LOOK}.npz"
    known = _read_index(index)
    stamps = {name: _stamp(files.folder / name) for name in files.names}
    new = [n for n, s in stamps.items() if again or n not in known or known[n][0] != s]
    # Kept now and then, so that an interruption costs little, and seldom, for it is much to write.
    share = max(KEPT_AFTER, len(new) // 10)
    for start in range(0, len(new), share):
        block = new[start : start + share]
        found = _examine(files.folder, block, _shifted(progress, start, len(new)))
        known |= {n: (stamps[n], finding) for n, finding in zip(block, found, strict=True)}
        _write_index(index, known)
    return [known[name][1] for name in files.names]


def prepared(
    cls: type[Dataset],
    root: Path | None,
    store: Path,
    skip_broken: bool = False,
    progress: Progress | None = None,
) -> Data:
    """A data set that is there, read and examined. store: the folder of caches."""
    if cls.parts:
        parts = [prepared(part, root, store, skip_broken, progress) for part in cls.parts]
        whole = together([part.name for part in cls.parts], parts)
        alike = twins(whole.classnames)
        return replace(whole, notes=(*whole.notes, *alike))
    cache = cache_of(cls.name, store)
    data = loaded(cls, root, cache)
    return prepare(data, cache, skip_broken, progress)


def cache_of(name: str, store: Path) -> Path:
    """The folder that a data set may keep files in; a path in its name becomes one word."""
    word = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
    if word != name:
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        word = f"{word[:LONGEST]}-{digest}"
    folder = store / "datasets" / word
    with writing(folder, CACHE):
        own(store / "datasets")
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def prepare(
    data: Data,
    cache: Path,
    skip_broken: bool = False,
    progress: Progress | None = None,
) -> Data:
    """The data set with every file known to be readable and a fingerprint of their contents.

    skip_broken: leave unusable files out and say so in `notes`. UserError: unusable files, all
    of them counted and the first ones named.
    """
    splits, broken, odd = [], [], Counter[str]()
    notes = [*data.notes, *twins(data.classnames)]
    digest = hashlib.sha256(data.fingerprint.encode())
    for split in (data.train, data.test):
        if not isinstance(split.images, ImageFiles):
            splits.append(split)
            continue
        findings = checked(split.images, cache, progress)
        rows = np.array([not finding.fault for finding in findings], dtype=bool)
        broken += [
            readable(f"{split.images.folder / name} {finding.fault}")
            for name, finding in zip(split.images.names, findings, strict=True)
            if finding.fault
        ]
        odd.update(finding.odd for finding in findings if finding.odd)
        digest.update(b"".join(finding.digest for finding in findings if not finding.fault))
        # Once shown by their own largest value: what was kept of them is not of these pictures.
        if any(BLACK in f.odd or "16 bit and alpha" in f.odd for f in findings):
            digest.update(b"the upper 8 of 16 bits")
        splits.append(split if rows.all() else part(split, rows))
    if broken and not skip_broken:
        raise UserError(_refusal(broken, cache))
    if broken:
        require_whole(data, splits[0], splits[1])
        notes.append(f"{counted(broken)} unusable and left out (--skip-broken)")
    if odd:
        kinds = ", ".join(f"{count} {kind}" for kind, count in odd.most_common())
        notes.append(f"not plain RGB or gray and converted: {kinds}")
    if not any(isinstance(split.images, ImageFiles) for split in (data.train, data.test)):
        return replace(data, notes=tuple(notes))
    return replace(
        data,
        train=splits[0],
        test=splits[1],
        fingerprint=digest.hexdigest()[:16],
        notes=tuple(notes),
    )


def require_whole(data: Data, train: Split, test: Split) -> None:
    """UserError where a class or domain that had training or test images has none left."""
    gone = []
    for what, before, now in (("training", data.train, train), ("test", data.test, test)):
        lost = np.setdiff1d(before.labels, now.labels)
        gone += [f"{what} images of {data.classnames[label]}" for label in lost]
        if before.domains is not None and now.domains is not None:
            lost = np.setdiff1d(before.domains, now.domains)
            gone += [f"{what} images of the domain {data.domains[index]}" for index in lost]
    if gone:
        shown = "; ".join(gone[:SHOWN]) + ("; ..." if len(gone) > SHOWN else "")
        raise UserError(
            f"--skip-broken leaves no {shown}: repair these files, or take their folders away."
        )


def part(split: Split, keep: np.ndarray) -> Split:
    """The rows of a split of files where `keep` [M] is true."""
    assert isinstance(split.images, ImageFiles)
    rows = np.flatnonzero(keep)
    names = [split.images.names[int(row)] for row in rows]
    domains = None if split.domains is None else split.domains[rows]
    return Split(ImageFiles(split.images.folder, names), split.labels[rows], domains)


def _refusal(broken: Sequence[str], cache: Path) -> str:
    shown = "\n".join(f"  {line}" for line in broken[:SHOWN])
    more = ""
    if len(broken) > SHOWN:
        whole = cache / "unusable.txt"
        with writing(whole, CACHE):
            whole.write_text("\n".join(broken) + "\n", encoding="utf-8", errors="backslashreplace")
        more = f"\n  and {len(broken) - SHOWN} more, all of them in {whole}"
    return (
        f"{counted(broken)} cannot be used: repair or remove the files, or leave them out with "
        f"--skip-broken.\n{shown}{more}"
    )


def counted(images: Sequence[str]) -> str:
    """How many."""
    return "1 image" if len(images) == 1 else f"{len(images):,} images"


def _stamp(path: Path) -> Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return GONE
    return Stamp(status.st_size, status.st_mtime_ns)


def _shifted(progress: Progress | None, done: int, whole: int) -> Progress | None:
    """The progress of a part as that of the whole."""
    return None if progress is None else lambda now, _: progress(done + now, whole)


def _examine(folder: Path, names: Sequence[str], progress: Progress | None) -> list[Finding]:
    findings: list[Finding] = []
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(names), AT_ONCE):
            block = names[start : start + AT_ONCE]
            findings += pool.map(lambda name: examine(folder / name), block)
            if progress is not None:
                progress(len(findings), len(names))
    return findings


_Index = dict[str, tuple[Stamp, Finding]]


def _write_index(path: Path, known: _Index) -> None:
    """File names, faults and oddities as text between zero bytes, which no file name holds."""
    rows = list(known.values())
    with writing(path, CACHE), write_aside(path) as file:
        np.savez(
            file,
            names=_packed(list(known)),
            faults=_packed([finding.fault for _, finding in rows]),
            odd=_packed([finding.odd for _, finding in rows]),
            sizes=np.array([stamp.size for stamp, _ in rows], dtype=np.int64),
            times=np.array([stamp.time for stamp, _ in rows], dtype=np.int64),
            digests=np.frombuffer(b"".join(f.digest for _, f in rows), dtype=np.uint8),
        )


def _read_index(path: Path) -> _Index:
    """What is known of a folder's files; nothing if the index is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            names, faults, odd = (_unpacked(kept[key]) for key in ("names", "faults", "odd"))
            stamps = [
                Stamp(int(s), int(t)) for s, t in zip(kept["sizes"], kept["times"], strict=True)
            ]
            digests = kept["digests"].tobytes()
        return {
            name: (stamp, Finding(fault, what, digests[16 * i : 16 * i + 16]))
            for i, (name, stamp, fault, what) in enumerate(
                zip(names, stamps, faults, odd, strict=True)
            )
        }
    # A torn or foreign file: zipfile, numpy and the zips above each have their own error.
    except Exception:
        return {}


def _packed(texts: Sequence[str]) -> np.ndarray:
    return np.frombuffer("\0".join(texts).encode("utf-8", "surrogateescape"), dtype=np.uint8)


def _unpacked(packed: np.ndarray) -> list[str]:
    return packed.tobytes().decode("utf-8", "surrogateescape").split("\0")

"""Claims: who computes a cell, so that no two runners ever compute the same one at a time.

ROOT/.claims/ID/first         the claim of the first runner: who, where, since when
ROOT/.claims/ID/after-NONCE   the claim of who took over from the dead runner NONCE, and so on

A cell belongs to the last claim of the chain that starts at `first`. Each link of the chain is
made with link(2), which is atomic on network file systems too, so of several runners that take
over from the same dead one a single one wins. Giving a cell back removes `first`, and with it
the whole chain at once.

A runner on this machine is dead when its process is. Of one elsewhere only the beat of its file
is seen: it is dead when that has not changed for STALE seconds of *this* process's monotonic
clock. No two clocks are compared, so a clock that is wrong or jumps does no harm.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

BEAT = 10.0
"""Seconds between two signs of life."""
STALE = 120.0
"""Seconds without one after which a runner is dead: more than any cache of a network file system
hides, and than a disk under load delays."""
FOLDER = ".claims"


@dataclass(frozen=True)
class Claim:
    """One runner's claim to a cell.

    machine: names a running system and its process numbers; "" where that cannot be known.
    born: when the process started, in the system's ticks, since process numbers are used again.
    job: what a scheduler calls the runner; "" where none started it.
    """

    nonce: str = ""
    host: str = ""
    machine: str = ""
    pid: int = 0
    born: str = ""
    since: str = ""
    job: str = ""


@dataclass
class Claims:
    """The claims of one store, as one runner sees them.

    dead: nonces that somebody else has found dead. job: what a scheduler calls this runner; one
    of that name which is not this process is its life before the scheduler began it again.
    """

    root: Path
    dead: frozenset[str] = frozenset()
    job: str = ""
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)

    def take(self, cell_id: str) -> Held | None:
        """The cell for this runner alone; None while another one is alive. OSError as it comes."""
        folder = self.root / FOLDER / cell_id
        last = self.owner(cell_id)
        if last is not None and not self.is_dead(cell_id, last):
            return None
        folder.mkdir(parents=True, exist_ok=True)
        mine = _own_claim(self.job)
        path = folder / ("first" if last is None else f"after-{last.nonce}")
        if not _create(path, mine):
            return None
        held = Held(folder, path, mine)
        if held.lost():  # the chain was given back while this runner looked at its end
            path.unlink(missing_ok=True)
            return None
        held.start()
        return held

    def owner(self, cell_id: str) -> Claim | None:
        """The last claim of the chain, its runner alive or dead."""
        chain = _chain(self.root / FOLDER / cell_id)
        return chain[-1][1] if chain else None

    def is_dead(self, cell_id: str, claim: Claim) -> bool:
        """Whether a claim's runner is gone; of one elsewhere this takes STALE seconds to know."""
        if claim.nonce in self.dead:
            return True
        if claim.machine and claim.machine == _machine():
            return _born(claim.pid) != claim.born
        if claim.job and claim.job == self.job:
            return True
        beat = self.beat(cell_id, claim)
        now = time.monotonic()
        before, since = self._seen.get(claim.nonce, (None, now))
        if before != beat:
            since = now
        self._seen[claim.nonce] = (beat, since)
        return now - since > STALE

    def beat(self, cell_id: str, claim: Claim) -> int:
        """The time of the last sign of life, by the clock of the file's server; in ns."""
        for path, other in _chain(self.root / FOLDER / cell_id):
            if other.nonce == claim.nonce:
                with contextlib.suppress(OSError), path.open("rb") as file:
                    # Opened, since a network file system looks anew only then.
                    return os.fstat(file.fileno()).st_mtime_ns
        return -1

    def all(self) -> dict[str, Claim]:
        """Each claimed cell with its owner."""
        folder = self.root / FOLDER
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        owners = {name: self.owner(name) for name in names}
        return {name: owner for name, owner in owners.items() if owner is not None}


class Held:
    """A cell that is this runner's; a thread gives signs of life until it is given back."""

    def __init__(self, folder: Path, path: Path, claim: Claim) -> None:
        self.claim = claim
        self._folder = folder
        self._path = path
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True, name="claim")

    def start(self) -> None:
        self._thread.start()

    def lost(self) -> bool:
        """Whether another runner took this one for dead: it slept, or its disk was away."""
        try:
            chain = _chain(self._folder)
        except OSError:
            return False  # the disk is away: a cell that is not known to be lost goes on
        return not chain or chain[-1][1].nonce != self.claim.nonce

    def give_back(self) -> None:
        """Let others have the cell; nothing happens if one of them has it already."""
        self._end.set()
        self._thread.join()
        # A folder that is not empty is somebody else's by now. A claim that cannot be deleted, on
        # a disk that is away, holds nobody up for longer than this process lives.
        with contextlib.suppress(OSError):
            chain = _chain(self._folder)
            if not chain or chain[-1][1].nonce != self.claim.nonce:
                return
            for path, _ in chain:  # `first` is the first: without it the others belong to no chain
                path.unlink(missing_ok=True)
            self._folder.rmdir()

    def _live(self) -> None:
        while not self._end.wait(BEAT):
            # A disk that is away for a moment: the next beat may come through, and if none does
            # for long, `lost` tells.
            with contextlib.suppress(OSError):
                os.utime(self._path)


def _chain(folder: Path) -> list[tuple[Path, Claim]]:
    found: list[tuple[Path, Claim]] = []
    path = folder / "first"
    while len(found) < 10_000:
        claim = _read(path)
        if claim is None:
            break
        found.append((path, claim))
        path = folder / f"after-{claim.nonce}"
    return found


def _read(path: Path) -> Claim | None:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return Claim(**json.loads(data))
    except (ValueError, TypeError):
        # Not from us, or torn by a crash of the machine: nobody's beat, so it goes stale. Two cells
        # may have the same torn bytes, and each is watched for itself.
        seen = hashlib.sha256(path.parent.name.encode() + data)
        return Claim(nonce=f"unreadable-{seen.hexdigest()[:8]}")


def _create(path: Path, claim: Claim) -> bool:
    """Put a claim in its place, whole, unless there is one."""
    aside = path.parent / f".{claim.nonce}"
    text = json.dumps(asdict(claim))
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # a crash of the machine leaves no empty claim behind
        try:
            os.link(aside, path)
        except FileExistsError:
            # Over a network the answer to a link that was made can get lost.
            return os.stat(aside).st_nlink == 2
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            with path.open("x", encoding="utf-8") as file:  # a file system without hard links
                file.write(text)
        return True
    except (FileNotFoundError, FileExistsError):
        return False  # the folder went with a claim that was given back; or another was first
    finally:
        aside.unlink(missing_ok=True)


def _own_claim(job: str) -> Claim:
    return Claim(
        nonce=uuid.uuid4().hex,
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        born=_born(os.getpid()),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        job=job,
    )


def _machine() -> str:
    """This boot of this system and the container's process numbers; "" where Linux is not."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """When a process of this machine started, in ticks; "gone" if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "gone"
    fields = stat[stat.rindex(")") + 2 :].split()
    return "gone" if fields[0] in "ZX" else fields[19]

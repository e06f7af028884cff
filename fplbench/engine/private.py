"""What each client keeps between rounds: tensors of its own, of which only those stored take room.

Where all clients' tensors together are small they lie in memory, one row a client. Where they
exceed BUDGET they lie in a file with holes for clients that never took part: a million clients of
whom a thousand are sampled a round cost what those thousand do. Each client has two places in it.
What a round brings goes to the one that the last checkpoint does not name, so that a checkpoint
needs to hold only which place counts, and a killed cell goes on from rows that nobody overwrote.
The file is read and written, not mapped into memory: pages of a mapping would be counted as the
process's, and a full disk would kill it.
"""

from __future__ import annotations

import errno
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fplbench.errors import UserError
from fplbench.method import Tensors

BUDGET = 2**30
"""Bytes of all clients' tensors beyond which they lie in a file."""
NAME = "clients"
PLACE, CHECK = "place", "check"
PREFIX = "private."


class InMemory:
    """Tensors [clients, ...]."""

    def __init__(self, clients: int, start: Tensors, drawn: Callable[[int], Tensors]) -> None:
        """start: what one client begins with; drawn: those of a client that draws its own."""
        self._all = {name: t.expand(clients, *t.shape).clone() for name, t in start.items()}
        for client in range(clients):
            for name, value in drawn(client).items():
                self._all[name][client] = value

    def of(self, clients: Tensor) -> Tensors:
        return {name: t[clients] for name, t in self._all.items()}

    def keep(self, clients: Tensor, values: Tensors) -> None:
        for name, kept in self._all.items():
            kept[clients] = values[name].to(kept.device)

    def state(self) -> Tensors:
        """The tensors themselves, which the next round changes."""
        return {f"{PREFIX}{name}": t for name, t in self._all.items()}

    def saved(self) -> None:
        """The last `state` is kept from now on, which changes nothing here."""

    def load(self, state: Tensors) -> None:
        """ValueError: it is not of these tensors."""
        found = {n.removeprefix(PREFIX): t for n, t in state.items() if n.startswith(PREFIX)}
        if {n: t.shape for n, t in found.items()} != {n: t.shape for n, t in self._all.items()}:
            raise ValueError(f"clients keep {list(self._all)} and the state has {list(found)}")
        self._all = {name: found[name].clone() for name in self._all}

    def everything(self) -> Tensors:
        """For a cell's record."""
        return self.state()

    def all(self) -> Tensors:
        """[clients, ...]."""
        return self._all


class InFile:
    """The same in a sparse file. A line holds one client's tensors, one after the other; each
    client has two of them."""

    def __init__(
        self, clients: int, start: Tensors, drawn: Callable[[int], Tensors], folder: Path | None
    ) -> None:
        """folder: where the file lies, and was left by a cell that is to go on; None, one that goes
        with this object."""
        self._start, self._drawn = start, drawn
        self._line = sum(t.numel() * t.element_size() for t in start.values())
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="fplbench-")
            folder = Path(self._temporary.name)
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / NAME
        self._file = self._path.open("r+b" if self._path.exists() else "w+b", buffering=0)
        # 0: never stored; 1, 2: the first or second place in the file.
        self._place = torch.zeros(clients, dtype=torch.uint8)
        self._saved = self._place.clone()
        self._check = torch.zeros(clients, dtype=torch.int64)

    def of(self, clients: Tensor) -> Tensors:
        found = {name: t.repeat(len(clients), *[1] * t.dim()) for name, t in self._start.items()}
        for row, (client, place) in enumerate(_pairs(clients, self._place[clients])):
            line = self._read(client, place, int(self._check[client])) if place else b""
            own = self._unpacked(line) if place else self._drawn(client)
            for name, value in own.items():
                found[name][row] = value
        return found

    def keep(self, clients: Tensor, values: Tensors) -> None:
        """UserError: the disk is full."""
        saved, now = self._saved[clients], self._place[clients]
        # A client's first round since the last checkpoint goes to its other place.
        other = torch.where(saved == 1, 2, 1).to(torch.uint8)
        places = torch.where(now == saved, other, now)
        lines = self._packed(values, len(clients))
        for (client, place), line in zip(_pairs(clients, places), lines, strict=True):
            self._write(client, place, line.tobytes())
        self._place[clients] = places
        self._check[clients] = torch.tensor([zlib.crc32(line.tobytes()) for line in lines])

    def state(self) -> Tensors:
        """Where each client's line lies, and its checksum; the lines are on the disk by then."""
        os.fsync(self._file.fileno())
        return {PLACE: self._place.clone(), CHECK: self._check.clone()}

    def saved(self) -> None:
        """The last `state` is kept from now on; until then the one before it may be needed."""
        self._saved = self._place.clone()

    def load(self, state: Tensors) -> None:
        """ValueError: the file does not hold what the state says."""
        if state.get(PLACE) is None or state[PLACE].shape != self._place.shape:
            raise ValueError(f"there are {len(self._place)} clients, and the state is of others")
        place, check = state[PLACE], state[CHECK]
        stored = place.nonzero()[:, 0]
        for client, where in _pairs(stored, place[stored]):
            self._read(client, where, int(check[client]))
        self._place, self._saved, self._check = place.clone(), place.clone(), check.clone()

    def everything(self) -> Tensors:
        """The tensors of the clients that ever took part, and who they are."""
        clients = self._place.nonzero()[:, 0]
        rows = self.of(clients)
        return {f"{PREFIX}{name}": t for name, t in rows.items()} | {f"{PREFIX}clients": clients}

    def all(self) -> Tensors:
        """[clients, ...], in memory."""
        return self.of(torch.arange(len(self._place)))

    def _packed(self, values: Tensors, count: int) -> NDArray[np.uint8]:
        """[count, bytes of a line]."""
        parts = [values[name].detach().cpu().contiguous().numpy() for name in self._start]
        return np.concatenate([p.reshape(count, -1).view(np.uint8) for p in parts], axis=1)

    def _unpacked(self, line: bytes) -> Tensors:
        found, at = {}, 0
        for name, t in self._start.items():
            size = t.numel() * t.element_size()
            # A copy: what comes of bytes cannot be written to.
            part = torch.frombuffer(bytearray(line[at : at + size]), dtype=t.dtype)
            found[name], at = part.view(t.shape), at + size
        return found

    def _seek(self, client: int, place: int) -> None:
        self._file.seek((2 * client + place - 1) * self._line)

    def _read(self, client: int, place: int, check: int) -> bytes:
        """ValueError: another one wrote there, such as a runner that was taken for dead."""
        self._seek(client, place)
        line = self._file.read(self._line)
        if zlib.crc32(line) != check:
            raise ValueError(f"what client {client} keeps is not what was written")
        return line

    def _write(self, client: int, place: int, line: bytes) -> None:
        try:
            self._seek(client, place)
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise UserError(
                f"cannot write what clients keep to {self._path}: {error.strerror or error}; make "
                "room or choose another --out and run again, finished cells are kept"
            ) from error


def _pairs(clients: Tensor, places: Tensor) -> list[tuple[int, int]]:
    return list(zip(clients.tolist(), places.tolist(), strict=True))


Private = InMemory | InFile


def private(
    clients: int, start: Tensors, drawn: Callable[[int], Tensors], folder: Path | None
) -> Private:
    """Where clients' tensors are kept, by their size. start: of one client; drawn: from a client
    to those that it draws of its own; folder: for files."""
    each = sum(t.numel() * t.element_size() for t in start.values())
    if not start or clients * each <= BUDGET:
        return InMemory(clients, start, drawn)
    return InFile(clients, start, drawn, folder)

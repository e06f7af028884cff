"""Several processes of this machine, which share its cores and GPUs."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

from pebble import ProcessExpired, ProcessPool

from fplbench.features.stock import Workbench
from fplbench.grid.claims import Claims
from fplbench.grid.give_out import Back, give_out
from fplbench.grid.jobs import Job, Watcher
from fplbench.grid.runner import Runner, kept_bench
from fplbench.grid.stop import Stop
from fplbench.machine.place import Place

GRACE = 20.0
"""Seconds that processes have to save and leave."""
LARGEST = 65536
"""Bytes of what a process tells of a round."""


def in_processes(
    places: Sequence[Place], bench: Workbench, jobs: Sequence[Job], watcher: Watcher
) -> None:
    """A process for each place. One that dies is replaced, and its cell tried once more.

    Stopped on SIGTERM, once the processes have saved their cells; UserError if one meets one.
    """
    stop, pools = Stop(), _Pools(places, jobs, watcher)
    with stop.listening():
        give_out(pools, bench, jobs, watcher, Claims(places[0].store), stop)


class _Pools:
    """Pebble's pools, of one process each.

    Pebble starts processes, hands them cells, and tells which cell a process died of. What it
    does not give, and is done here:
    - Workers of a pool are alike; ours have a device each. So a pool for each.
    - A process that dies while it holds no cell, or the lock of the pipe that it takes cells
      from, breaks its pool. Another pool takes its place.
    - To stop means SIGTERM, and SIGKILL 3 seconds later: too early for a round to end.
    - Only idle workers leave when the parent is killed.
    - Nothing is heard of a cell before its end. Rounds are told by datagrams: no lock that a
      killed process could keep, and no half a message in a pipe.
    """

    retries_itself = False

    def __init__(self, places: Sequence[Place], jobs: Sequence[Job], watcher: Watcher) -> None:
        self._places = places
        self._jobs = {job.id: job for job in jobs}
        self._watcher = watcher
        self._heard, self._told = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._told.setblocking(False)
        self._pools = [self._pool() for _ in places]
        self._at: dict[int, tuple[Future[None], Job]] = {}

    def _pool(self) -> ProcessPool:
        context = multiprocessing.get_context("spawn")  # a fork inherits locks, and no CUDA
        return ProcessPool(1, initializer=_begin, initargs=(self._told,), context=context)

    def room(self) -> int:
        return len(self._pools) - len(self._at)

    def out(self) -> int:
        return len(self._at)

    def give(self, jobs: Sequence[Job], dead: frozenset[str]) -> None:
        free = [number for number in range(len(self._pools)) if number not in self._at]
        for number, job in zip(free, jobs, strict=False):
            if not self._pools[number].active:
                self._replace(number)
            task = (self._places[number], job, dead)
            future = self._pools[number].schedule(_cell, args=task)
            self._at[number] = (future, job)
            future.add_done_callback(lambda _: _tell(self._told, ("", "", ())))  # wakes `back`

    def back(self, seconds: float) -> list[Back]:
        until = time.monotonic() + seconds
        while not (found := self._returned()) and (left := until - time.monotonic()) > 0:
            self._heard.settimeout(left)
            with contextlib.suppress(TimeoutError):
                self._hear(self._heard.recv(LARGEST))
        return found

    def end(self) -> None:
        if self._at:
            for process in multiprocessing.active_children():
                process.terminate()
            wait([future for future, _ in self._at.values()], GRACE)
        for pool in self._pools:
            pool.stop()
        for pool in self._pools:
            pool.join()
        self._heard.close()
        self._told.close()

    def _hear(self, message: bytes) -> None:
        kind, cell_id, what = pickle.loads(message)
        if kind == "encoded":
            self._watcher.encoded(self._jobs[cell_id], *what)
        elif kind == "round":
            self._watcher.round(self._jobs[cell_id], *what)
        elif kind == "began":
            self._watcher.began(self._jobs[cell_id])

    def _returned(self) -> list[Back]:
        found = []
        for number, (future, job) in list(self._at.items()):
            # A pool that breaks may forget a cell that it was given a moment before.
            broken = not self._pools[number].active
            if not broken and not future.done():
                continue
            del self._at[number]
            lost = ""
            if broken:
                self._replace(number)
            try:
                future.result(0)
            except ProcessExpired as error:
                lost = _how(error.exitcode)
            except (BrokenProcessPool, TimeoutError):
                lost = "before it could begin"
            found.append(Back(job, lost))
        return found

    def _replace(self, number: int) -> None:
        self._pools[number].stop()
        self._pools[number].join()
        self._pools[number] = self._pool()


def _how(code: int) -> str:
    if code != -signal.SIGKILL:
        return f"with {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"
    return (
        "with SIGKILL, which mostly means that the machine's memory was full: use fewer --jobs "
        "or a smaller batch_size"
    )


_told: socket.socket | None = None


def _begin(told: socket.socket) -> None:
    """Of a process: the first thing it does."""
    global _told
    _told = told
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    join: Callable[[], None] = parent.join

    def watch() -> None:
        join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="parent").start()


def _cell(place: Place, job: Job, dead: frozenset[str]) -> None:
    """Of a process: one cell."""
    if _told is None:
        raise RuntimeError("a process begins with _begin")
    stop = Stop()
    with stop.listening():
        runner = Runner(place, kept_bench(place), _Teller(_told), stop)
        runner.claims.dead = dead
        runner.run([job], once=True)


@dataclass(frozen=True)
class _Teller:
    """A watcher that tells the parent."""

    told: socket.socket

    def began(self, job: Job) -> None:
        _tell(self.told, ("began", job.id, ()))

    def encoded(self, job: Job, done: int, images: int) -> None:
        _tell(self.told, ("encoded", job.id, (done, images)))

    def round(self, job: Job, done: int, rounds: int, row: dict[str, float]) -> None:
        _tell(self.told, ("round", job.id, (done, rounds, row)))

    def ended(self, job: Job) -> None: ...


def _tell(told: socket.socket, message: tuple[str, str, tuple[object, ...]]) -> None:
    """Tell a parent that listens; one that is gone or far behind misses nothing but a look."""
    with contextlib.suppress(OSError):
        told.send(pickle.dumps(message))


def shared_out(place: Place, devices: Sequence[str], jobs: int, threads: int) -> list[Place]:
    """A place for each of `jobs` processes: devices in turn, the threads in equal parts."""
    each = max(1, threads // jobs)
    return [
        replace(place, device=devices[number % len(devices)], threads=place.threads or each)
        for number in range(jobs)
    ]

"""Executors on one machine: this process, or several that share its cores and GPUs."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from fplbench.errors import UserError
from fplbench.grid.cell import killed
from fplbench.grid.stop import EXIT, Stop, Stopped
from fplbench.grid.work import Job, Runner, Setup, Tools, Watcher, keep, settled
from fplbench.records.store import Store

ATTEMPTS = 2
"""How many processes a cell may take down before it is recorded as failed."""
GRACE = 20.0
"""Seconds that processes have to save and leave."""


def in_process(setup: Setup, tools: Tools, jobs: Sequence[Job], watcher: Watcher) -> None:
    """Compute the cells here. Stopped on SIGTERM, once the running cell is saved."""
    stop = Stop()
    with stop.listening():
        Runner(setup, tools, watcher, stop=stop).run(jobs)


def in_processes(
    setups: Sequence[Setup], tools: Tools, jobs: Sequence[Job], watcher: Watcher
) -> None:
    """A process for each setup. One that dies is replaced, and its cell tried once more.

    Stopped on SIGTERM, once the processes have saved their cells; UserError if one meets one.
    """
    pool = _Pool(setups, tools, jobs, watcher)
    stop = Stop()
    try:
        with stop.listening():
            pool.run()
    finally:
        pool.end()


@dataclass
class _Member:
    """A process, the connection it tells on, and the cell it is at."""

    process: BaseProcess
    events: Connection
    at: Job | None = None
    over: bool = False


class _Pool:
    def __init__(
        self, setups: Sequence[Setup], tools: Tools, jobs: Sequence[Job], watcher: Watcher
    ) -> None:
        self._setups = setups
        self._tools = tools
        self._jobs = {job.id: job for job in jobs}
        self._watcher = watcher
        self._deaths: dict[str, int] = {}
        self._ended: set[str] = set()
        self._members: dict[int, _Member] = {}

    def run(self) -> None:
        for number in range(len(self._setups)):
            self._members[number] = self._start(number)
        while any(not member.over for member in self._members.values()):
            by_events = {m.events: n for n, m in self._members.items() if not m.over}
            for events in wait(list(by_events)):
                number = by_events[events]  # type: ignore[index]
                try:
                    self._hear(number, self._members[number].events.recv())
                except (EOFError, ConnectionResetError):
                    self._buried(number)

    def end(self) -> None:
        """No process outlives this one; each may save its cell first."""
        for member in self._members.values():
            if member.process.is_alive():
                member.process.terminate()
        for member in self._members.values():
            # Somebody must listen, or a process that is telling something waits for ever.
            listener = threading.Thread(target=_drain, args=(member.events,), daemon=True)
            listener.start()
            member.process.join(GRACE)
            if member.process.is_alive():
                member.process.kill()
                member.process.join()

    def _start(self, number: int) -> _Member:
        context = multiprocessing.get_context("spawn")  # a fork inherits locks, and no CUDA
        events, told = context.Pipe(duplex=False)
        jobs = [job for job in self._jobs.values() if job.id not in self._ended]
        process = context.Process(
            target=_work, args=(self._setups[number], jobs, number, told), name=f"runner {number}"
        )
        process.start()
        told.close()  # so that the end of the process is the end of the connection
        return _Member(process, events)

    def _hear(self, number: int, event: tuple[str, Any]) -> None:
        kind, what = event
        member = self._members[number]
        if kind == "began":
            member.at = self._jobs[what]
            self._watcher.began(number, member.at)
        elif kind == "encoded":
            self._watcher.encoded(number, *what)
        elif kind == "round":
            self._watcher.round(number, *what)
        elif kind == "ended":
            member.at = None
            if what not in self._ended:  # every process hears of every cell
                self._ended.add(what)
                self._watcher.ended(number, self._jobs[what])
        elif kind == "refused":
            raise UserError(what)

    def _buried(self, number: int) -> None:
        """A process is gone: at its end, or before it."""
        member = self._members[number]
        member.process.join()
        member.over = True
        code = member.process.exitcode or 0
        if code == EXIT:
            raise Stopped
        if code == 130:
            raise KeyboardInterrupt
        if code == 0:
            return
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
        place = "" if member.at is None else member.at.id
        self._deaths[place] = self._deaths.get(place, 0) + 1
        if self._deaths[place] >= ATTEMPTS:
            if member.at is None:
                raise UserError(
                    f"processes end with {how} before they reach a cell; with SIGKILL the "
                    "machine's memory is most likely full: use fewer --jobs"
                )
            self._give_up(number, member.at, how)
        self._members[number] = self._start(number)

    def _give_up(self, number: int, job: Job, how: str) -> None:
        setup = self._setups[number]
        store = Store(setup.store)
        if settled(store, setup, job.id):
            return
        message = (
            f"its process ended {ATTEMPTS} times, the last time with {how}; SIGKILL mostly means "
            "that the machine's memory was full: use fewer --jobs or a smaller batch_size"
        )
        method = self._tools.method(job.cell)
        keep(store, killed(job.cell, self._tools.bench, method, message))


def _drain(events: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            events.recv()


def _work(setup: Setup, jobs: list[Job], number: int, told: Connection) -> None:
    """What a process does from its start to its end."""
    stop = Stop()
    tell = _Teller(told)
    try:
        with stop.listening():
            _end_with_parent()
            Runner(setup, setup.tools(), tell, number, stop).run(jobs)
    except Stopped:
        code = EXIT
    except KeyboardInterrupt:
        code = 130
    except UserError as error:
        tell.send("refused", str(error))
        code = 2
    else:
        code = 0
    # Not sys.exit: threads of libraries are not waited for, and nothing is left to be flushed.
    told.close()
    os._exit(code)


def _end_with_parent() -> None:
    """Should the parent be killed, this process saves its cell and leaves too."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    join: Callable[[], None] = parent.join

    def watch() -> None:
        join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="parent").start()


@dataclass(frozen=True)
class _Teller:
    """A watcher that tells the parent; one that is gone is told nothing."""

    told: Connection

    def send(self, kind: str, what: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.told.send((kind, what))

    def began(self, worker: int, job: Job) -> None:
        self.send("began", job.id)

    def encoded(self, worker: int, done: int, images: int) -> None:
        self.send("encoded", (done, images))

    def round(self, worker: int, done: int, rounds: int, row: dict[str, float]) -> None:
        self.send("round", (done, rounds, row))

    def ended(self, worker: int, job: Job) -> None:
        self.send("ended", job.id)


def shared_out(setup: Setup, devices: Sequence[str], jobs: int, threads: int) -> list[Setup]:
    """A setup for each of `jobs` processes: devices in turn, the threads in equal parts."""
    each = max(1, threads // jobs)
    return [
        replace(setup, device=devices[number % len(devices)], threads=setup.threads or each)
        for number in range(jobs)
    ]

"""Give cells out to where they are computed, and give those out again whose runner died."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fplbench.errors import UserError
from fplbench.features.stock import Workbench
from fplbench.grid.claims import Claims
from fplbench.grid.jobs import Job, Watcher
from fplbench.grid.recording import killed
from fplbench.grid.runner import POLL, tidy
from fplbench.grid.stop import Stop
from fplbench.records.store import Store

ATTEMPTS = 2
"""How many runners a cell may take down before it is recorded as failed."""


@dataclass(frozen=True)
class Back:
    """A cell that is out no more, settled or not.

    lost: how its runner ended, to follow "the last time"; "" if it came to its end.
    """

    job: Job
    lost: str = ""


class Others(Protocol):
    """Where cells are computed: processes of this machine, a cluster.

    retries_itself: whether a cell that it calls lost was lost ATTEMPTS times.
    """

    retries_itself: bool

    def room(self) -> int:
        """How many cells more it takes now."""

    def out(self) -> int:
        """How many cells it has."""

    def give(self, jobs: Sequence[Job], dead: frozenset[str]) -> None:
        """Have cells computed; dead: the runners whose claims to them are void."""

    def back(self, seconds: float) -> list[Back]:
        """The cells that came back, waited for that long. UserError if one meets one."""

    def end(self) -> None:
        """Stop what still runs, which may save its cells first."""


def give_out(
    others: Others,
    bench: Workbench,
    jobs: Sequence[Job],
    watcher: Watcher,
    claims: Claims,
    stop: Stop,
) -> None:
    """Until every cell is settled: those of other runners are looked at again and again.

    Stopped and UserError as they come; whatever comes, `others` are left without any.
    """
    store, waiting = Store(claims.root), list(jobs)
    deaths: Counter[str] = Counter()
    try:
        while waiting or others.out():
            stop.leave_if_asked()
            waiting = _given(waiting, store, claims, watcher, others)
            if others.out():
                found = others.back(POLL)
                waiting = [each.job for each in found] + waiting
                for each in found:
                    if each.lost:
                        _bury(each, deaths, bench, claims, others)
            elif waiting:
                time.sleep(POLL)
    finally:
        others.end()


def _given(
    waiting: list[Job],
    store: Store,
    claims: Claims,
    watcher: Watcher,
    others: Others,
) -> list[Job]:
    """Give out as many cells as there is room for; the others."""
    room = others.room()
    left: list[Job] = []
    given: list[Job] = []
    dead: set[str] = set()
    for number, job in enumerate(waiting):
        if len(given) == room:
            left += waiting[number:]
            break
        if job.settled(store):
            tidy(claims, job.id)
            watcher.ended(job)
            continue
        owner = claims.owner(job.id)
        if owner is not None and not claims.is_dead(job.id, owner):
            left.append(job)
            continue
        given.append(job)
        if owner is not None:
            dead.add(owner.nonce)
    if given:
        others.give(given, frozenset(dead))
    return left


def _bury(
    back: Back,
    deaths: Counter[str],
    bench: Workbench,
    claims: Claims,
    others: Others,
) -> None:
    """Count a death, of which a cell is guilty that its runner had claimed."""
    job, store = back.job, Store(claims.root)
    reached = claims.owner(job.id) is not None
    key = job.id if reached else ""
    deaths[key] += 1
    if deaths[key] < (1 if others.retries_itself else ATTEMPTS) or job.settled(store):
        return
    if not reached:
        raise UserError(
            f"processes end before they reach a cell, {ATTEMPTS} times, the last time {back.lost}"
        )
    message = f"its process ended early {ATTEMPTS} times, the last time {back.lost}"
    killed(job.cell, bench, message).keep(store)

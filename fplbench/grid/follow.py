"""Rounds of cells that are computed elsewhere, as the logs in the store tell of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fplbench.grid.jobs import Job, Watcher
from fplbench.grid.log import last_round

SHOWN = 12
"""Cells of which rounds are shown at a time."""


class Follower:
    """Tells a watcher what it would hear, were the runners here."""

    def __init__(self, store: Path, watcher: Watcher) -> None:
        self._store = store
        self._watcher = watcher
        self._seen: dict[str, int] = {}

    def look(self, jobs: Iterable[Job]) -> None:
        """Look at the logs of cells that have been given out."""
        known = {job.id: job for job in jobs}
        self._seen = {id: done for id, done in self._seen.items() if id in known}
        for id, job in known.items():
            if id not in self._seen and len(self._seen) >= SHOWN:
                continue
            found = last_round(self._store, id)
            if found is None:
                continue
            if id not in self._seen:
                self._watcher.began(job)
            if self._seen.get(id) != found[0]:
                self._watcher.round(job, *found)
            self._seen[id] = found[0]

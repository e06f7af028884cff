"""What a run will do: its cells, those done, and what the rest will take, by cells already run.

ROOT/.plans/HASH.json keeps the cells of a run and the files of its plug-ins, so that `fplbench
status` knows what is left, and what has been made by code that is no more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from fplbench.errors import UserError
from fplbench.grid.jobs import Job
from fplbench.records.atomic import write_aside
from fplbench.records.record import Record
from fplbench.records.store import Store

FOLDER = ".plans"

Files = Mapping[tuple[str, str], Mapping[str, Path]]
"""Files of plug-ins by name: of ("method", its name), and so of data sets and scenarios."""


@dataclass(frozen=True)
class Planned:
    """A cell of a run: its id, what a person calls it, and what a cell like it shares with it."""

    id: str
    label: str
    method: str = ""
    dataset: str = ""
    scenario: str = ""
    backbone: str = ""
    rounds: int = 1


def planned(jobs: Sequence[Job]) -> list[Planned]:
    """The cells as a plan keeps them."""
    return [
        Planned(
            id=job.id,
            label=job.cell.label(),
            method=job.cell.method,
            dataset=job.cell.dataset,
            scenario=job.cell.scenario,
            backbone=job.cell.backbone,
            rounds=job.cell.training.rounds,
        )
        for job in jobs
    ]


@dataclass(frozen=True)
class Estimate:
    """seconds, bytes: of all cells that have a like; unknown: how many have none."""

    seconds: float
    bytes: float
    unknown: int


def estimate(cells: Iterable[Planned], store: Store) -> Estimate:
    """By the store's done cells: those of the same method, data, scenario and backbone, else of
    the same data, scenario and backbone; seconds go by the round."""
    past = _past(store)
    seconds = size = 0.0
    unknown = 0
    for cell in cells:
        found = past.get(_key(cell)) or past.get(_key(cell)[1:])
        if found is None:
            unknown += 1
            continue
        seconds += fmean(each for each, _ in found) * cell.rounds
        size += fmean(each for _, each in found)
    return Estimate(seconds, size, unknown)


def _key(cell: Planned | Record) -> tuple[str, ...]:
    return (cell.method, cell.dataset, cell.scenario, cell.backbone)


def _past(store: Store) -> dict[tuple[str, ...], list[tuple[float, int]]]:
    """Seconds a round and bytes of the store's done cells, by method and without."""
    found: dict[tuple[str, ...], list[tuple[float, int]]] = {}
    for record in store.own():
        rounds = record.training.get("rounds")
        if record.status != "done" or not isinstance(rounds, int) or "total" not in record.times:
            continue
        folder = store.root / record.id
        size = sum(path.stat().st_size for path in folder.glob("*"))
        for key in (_key(record), _key(record)[1:]):
            found.setdefault(key, []).append((record.times["total"] / rounds, size))
    return found


def remember(root: Path, cells: Sequence[Planned], files: Files) -> None:
    """Keep a run's cells and code for `fplbench status`; UserError if the folder takes no files."""
    code = [
        {"kind": kind, "name": name, "files": {inner: str(path) for inner, path in each.items()}}
        for (kind, name), each in files.items()
    ]
    text = json.dumps({"cells": [vars(cell) for cell in cells], "code": code}, indent=0)
    name = hashlib.sha256(text.encode()).hexdigest()[:12]
    path = root / FOLDER / f"{name}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_aside(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise UserError(
            f"cannot write to {root}: {error.strerror or error}; make room or choose another "
            "--out and run again, finished cells are kept"
        ) from error


def latest(root: Path) -> list[Planned]:
    """The cells of the run that was started last in this store; none if there was none."""
    for plan in _plans(root):
        try:
            return [Planned(**cell) for cell in plan["cells"]]
        except (KeyError, TypeError):  # another version's; an older one is better than none
            continue
    return []


def known_files(root: Path) -> Files:
    """The files of all plug-ins that a run of this store has used, as the latest one names them."""
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for plan in reversed(list(_plans(root))):
        for each in plan.get("code", []):
            paths = {name: Path(path) for name, path in each["files"].items()}
            found[each["kind"], each["name"]] = paths
    return found


def _plans(root: Path) -> Iterator[dict[str, Any]]:
    """The plans of a store, the latest first."""
    files = (root / FOLDER).glob("*.json")
    for path in sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            plan = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:  # torn
            continue
        # Before the code was kept, a plan was the list of its cells.
        yield {"cells": plan} if isinstance(plan, list) else plan


def duration(seconds: float) -> str:
    """A time that a person can read: 40 s, 12 min, 3.5 h, 2.1 days."""
    units: list[tuple[float, float, Callable[[float], str]]] = [
        (90, 1, lambda x: f"{x:.0f} s"),
        (5400, 60, lambda x: f"{x:.0f} min"),
        (129_600, 3600, lambda x: f"{x:.1f} h"),
        (float("inf"), 86_400, lambda x: f"{x:.1f} days"),
    ]
    return next(show(seconds / unit) for limit, unit, show in units if seconds < limit)

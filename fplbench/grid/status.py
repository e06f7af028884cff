"""How far a run is, as its store tells: for `fplbench status`, also from another machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from fplbench.grid.claims import Claim, Claims
from fplbench.grid.log import last_round
from fplbench.grid.plan import Planned, duration, estimate, known_files, latest
from fplbench.grid.stale import outdated, together
from fplbench.records.phrases import some
from fplbench.records.record import Record
from fplbench.records.store import LOG, WORK, Store, require_folder

SHOWN = 12
"""Lines of a kind before the rest is counted only."""


@dataclass
class Progress:
    """The cells of the last run by their state. running, left_behind: with their claims;
    foreign: whole, but not to be read by this version.

    stale: of all records, those that would not be made again, each with what has changed.
    earlier: records of this folder that are of no cell of the last run.
    """

    done: list[Record] = field(default_factory=list)
    stopped: list[Record] = field(default_factory=list)
    damaged: list[Planned] = field(default_factory=list)
    foreign: list[Planned] = field(default_factory=list)
    running: list[tuple[Planned, Claim]] = field(default_factory=list)
    left_behind: list[tuple[Planned, Claim]] = field(default_factory=list)
    left: list[Planned] = field(default_factory=list)
    stale: list[tuple[str, str]] = field(default_factory=list)
    earlier: list[Record] = field(default_factory=list)

    @property
    def code(self) -> int:
        """1 if anything here failed, diverged or is damaged."""
        wrong = any(record.status != "done" for record in self.earlier)
        return int(bool(self.stopped or self.damaged or wrong))


def show(root: Path, every: float | None, out: Console) -> int:
    """Print the state of a store, again and again where `every` says so; the exit code."""
    require_folder(root)
    claims = Claims(root)
    if every is None:
        found = progress(root, claims)
        out.print(_drawn(found, root))
        return found.code
    try:
        with Live(console=out, auto_refresh=False) as live:
            while True:
                found = progress(root, claims)
                live.update(_drawn(found, root), refresh=True)
                if not found.left and not found.running and not found.left_behind:
                    break
                time.sleep(every)
    except KeyboardInterrupt:
        pass
    return found.code


def progress(root: Path, claims: Claims) -> Progress:
    """Where the cells of the last run are; of all records, where no run left its plan."""
    store, found = Store(root), Progress()
    plan = latest(root)
    records = store.own() if plan else store.records()
    found.stale = list(outdated(records, known_files(root)))
    cells = plan or [Planned(record.id, record.id) for record in records]
    known = {record.id: record for record in records}
    for cell in cells:
        record = known.get(cell.id)
        owner = claims.owner(cell.id)
        if record is not None and record.status == "done":
            found.done.append(record)
        elif owner is not None:
            dead = claims.is_dead(cell.id, owner)
            (found.left_behind if dead else found.running).append((cell, owner))
        elif record is not None:
            found.stopped.append(record)
        elif (status := store.status(cell.id)) in ("damaged", "foreign"):
            (found.foreign if status == "foreign" else found.damaged).append(cell)
        else:
            found.left.append(cell)
    planned = {cell.id for cell in cells}
    found.earlier = [record for record in records if record.id not in planned]
    return found


def _drawn(found: Progress, root: Path) -> RenderableType:
    return Group(*(Text(line) for line in _lines(found, root)))


def _lines(found: Progress, root: Path) -> Iterator[str]:
    counts = {
        "done": len(found.done),
        "running": len(found.running),
        "failed or diverged": len(found.stopped),
        "damaged": len(found.damaged),
        "of another version": len(found.foreign),
        "left": len(found.left) + len(found.left_behind),
    }
    total = sum(counts.values())
    yield f"{some(total, 'cell')}: " + ", ".join(
        f"{n} {what}" for what, n in counts.items() if n or what == "done"
    )
    yield from _some(
        f"running: {cell.label} on {claim.host}, {_runner(claim)}, since {claim.since}"
        f"{_last_line(root, cell)}"
        for cell, claim in found.running
    )
    yield from _some(
        f"left behind: {cell.label} by {_runner(claim)} of {claim.host}; the next run takes it "
        "over and goes on from its checkpoint"
        for cell, claim in found.left_behind
    )
    yield from _some(
        f"{record.status}: {record.id}: {record.error.message if record.error else 'no reason'}"
        for record in found.stopped
    )
    if found.stopped:
        yield "fplbench run ... --retry-failed tries these again; fplbench show FOLDER has more."
    yield from _some(f"damaged: {cell.id} (fplbench check {root})" for cell in found.damaged)
    yield from _some(
        f"of another version: {cell.id} (fplbench check {root})" for cell in found.foreign
    )
    yield from _earlier(found.earlier)
    yield from _stale(found.stale)
    yield from _time_left(found, Store(root))


def _earlier(records: list[Record]) -> Iterator[str]:
    """What lies here beside the cells of the last run."""
    if not records:
        return
    stopped = [record for record in records if record.status != "done"]
    worse = f", {len(stopped)} failed or diverged" if stopped else ""
    yield f"Of earlier runs: {some(len(records) - len(stopped), 'cell')} done{worse}."
    yield from _some(
        f"{record.status}: {record.id}: {record.error.message if record.error else 'no reason'}"
        for record in stopped
    )


def _runner(claim: Claim) -> str:
    return f"job {claim.job}" if claim.job else f"process {claim.pid}"


def _stale(records: list[tuple[str, str]]) -> Iterator[str]:
    yield from _some(
        f"stale: {label}{f' and {more} more' if more else ''}, made before {why}"
        for label, more, why in together(records)
    )
    if records:
        yield "Stale records are kept; the same fplbench run computes their cells anew, once."


def _some(lines: Iterator[str]) -> Iterator[str]:
    every = list(lines)
    yield from every[:SHOWN]
    if len(every) > SHOWN:
        yield f"... and {len(every) - SHOWN} more"


def _last_line(root: Path, cell: Planned) -> str:
    path = root / WORK / cell.id / LOG
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return f": {lines[-1].partition('  ')[2]}" if lines else ""


def _time_left(found: Progress, store: Store) -> Iterator[str]:
    under_way = [_rest(cell, store.root) for cell, _ in found.running]
    open_cells = under_way + [cell for cell, _ in found.left_behind] + found.left
    if not open_cells:
        return
    of = estimate(open_cells, store)
    if of.unknown == len(open_cells):
        yield "time left: not known, no cell like these is done"
        return
    runners = len(found.running)
    unknown = f", and {some(of.unknown, 'cell')} of which nothing is known" if of.unknown else ""
    if runners:
        yield f"time left: about {duration(of.seconds / runners)} with {runners} running{unknown}"
    else:
        yield f"nothing runs; {duration(of.seconds)} of computing are left{unknown}"


def _rest(cell: Planned, root: Path) -> Planned:
    """What a running cell has still to do, as a cell of so many rounds."""
    last = last_round(root, cell.id)
    return cell if last is None else replace(cell, rounds=cell.rounds - last[0])

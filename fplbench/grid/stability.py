"""`fplbench stability`: finished cells again from moved starts, and how far these end apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from fplbench.errors import UserError
from fplbench.grid import report as grid_report
from fplbench.grid import run as grid_run
from fplbench.grid.run import How, Opened
from fplbench.grid.stale import Made, earlier, together
from fplbench.grid.work import Job, settled
from fplbench.machine import process
from fplbench.records.record import Record
from fplbench.records.starts import Found, drawn
from fplbench.records.store import Store
from fplbench.report import write
from fplbench.spec import Cell

Work = dict[tuple[Path, int], list[Job]]
"""Cells to compute by their store and the number of threads."""


@dataclass(frozen=True)
class Asked:
    """starts: how many moved ones each cell has in the end, the last of them with `threads`, by
    default half of the cell's own (2 for 1). methods, datasets, seeds: None for all."""

    starts: int
    threads: int | None
    methods: tuple[str, ...] | None
    datasets: tuple[str, ...] | None
    seeds: tuple[int, ...] | None

    def of(self, record: Record) -> bool:
        """Whether a record is meant, and its cell can be repeated."""
        wanted = (
            (self.methods, record.method),
            (self.datasets, record.dataset),
            (self.seeds, record.seed),
        )
        trained = record.status == "done" and record.trainable_parameters > 0
        return trained and all(names is None or name in names for names, name in wanted)


def show(
    results: Path,
    asked: Asked,
    how: How,
    plugins: Sequence[Path],
    root: Path | None,
    out: Console,
    err: Console,
) -> int:
    """Repeat the cells of a folder, skip what was repeated before, and print how far the starts
    end apart; returns the exit code."""
    found, _ = write.records(results, err)
    chosen = [(folder, record) for folder, record in drawn(found) if asked.of(record)]
    if not chosen:
        raise UserError(
            f"Nothing under {results} can be repeated: no finished cell that trains anything fits "
            "--methods, --datasets and --seeds."
        )
    code = _repeat(chosen, asked, how, plugins, root, out, err) if asked.starts else 0
    if code > 1 or how.dry_run:
        return code
    write.show_stability(results, out, err)
    return code


def _repeat(
    chosen: Found,
    asked: Asked,
    how: How,
    plugins: Sequence[Path],
    root: Path | None,
    out: Console,
    err: Console,
) -> int:
    """Compute what is missing of the moved starts; the exit code."""
    at_hand = grid_run.opened(chosen[0][0].parent, how, plugins, root, err)
    datasets = tuple(dict.fromkeys(record.dataset for _, record in chosen))
    grid_run.present(datasets, at_hand.datasets, root, err)
    work = _work(chosen, asked, at_hand, err)
    setup = grid_run.for_cells(at_hand, [job.cell for jobs in work.values() for job in jobs])
    if how.dry_run:
        for place in dict.fromkeys(place for place, _ in work):
            store = Store(place)
            every = [job for (where, _), jobs in work.items() if where == place for job in jobs]
            before = {job.id: store.status(job.id) for job in every}
            grid_report.dry_run(every, before, store, at_hand.jobs, how.retry_failed, out)
        return 0
    code = 0
    for (place, threads), jobs in work.items():
        store = Store(place)
        before = {job.id: store.status(job.id) for job in jobs}
        if all(status == "done" for status in before.values()):
            continue
        failed = [id for id, status in before.items() if status in grid_run.STOPPED]
        again = {id: store.stamp(id) for id in failed if how.retry_failed}
        here = replace(setup, store=place, threads=threads, again=again)
        if not all(settled(store, here, job.id) for job in jobs):
            alike = replace(how, threads=threads)
            stopped = grid_run.compute(jobs, here, at_hand.tools, at_hand.devices, alike, out, err)
            if stopped:
                return stopped
        after = {job.id: store.status(job.id) for job in jobs}
        grid_report.ended(jobs, before, after, store, out, err)
        code = max(code, int(any(status != "done" for status in after.values())))
    return code


def _work(chosen: Found, asked: Asked, at_hand: Opened, err: Console) -> Work:
    """The moved starts of these cells; those that could not be made again are named."""
    work: Work = {}
    changed: list[tuple[str, str]] = []
    for folder, record in chosen:
        cell = _cell(record)
        if cell is None:
            where = f"{record.method} on {record.dataset}, seed {record.seed}"
            changed.append((where, "its settings changed"))
            continue
        kind = at_hand.tools.methods.get(cell.method)
        identity = at_hand.tools.bench.identity(cell, kind)
        if cell.id(identity) != record.id:
            made = Made(cell, identity, at_hand.tools.bench.code(cell, kind))
            changed += list(earlier([made], [record]))
            continue
        own = int(str(record.hardware.get("threads") or process.threads()))
        other = asked.threads or (own // 2 if own > 1 else 2)
        for moved in _moved(cell, asked.starts):
            threads = other if moved.training.nudge == asked.starts else own
            work.setdefault((folder.parent, threads), []).append(Job(moved, moved.id(identity)))
    for label, more, why in together(changed):
        some = f", and {more} more" if more else ""
        err.print(
            f"{label}{some}: not repeated, since the record was made before {why}; run it again.",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    return work


def _cell(record: Record) -> Cell | None:
    """The cell that a record is of; None where there are no longer such settings."""
    fields = {name: getattr(record, name) for name in Cell.model_fields}
    try:
        return Cell.model_validate(fields)
    except ValidationError:
        return None


def _moved(cell: Cell, starts: int) -> Iterator[Cell]:
    for number in range(1, starts + 1):
        training = cell.training.model_copy(update={"nudge": number})
        yield cell.model_copy(update={"training": training})

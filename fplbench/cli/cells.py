"""What is said about the cells of a run: before it, while it goes on, after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import typer
from rich.filesize import decimal

from fplbench.cli.consoles import err, out, warn
from fplbench.cli.screen import Screen
from fplbench.data.progress import on_console
from fplbench.data.understood import understood
from fplbench.features.stock import Workbench
from fplbench.grid import run
from fplbench.grid.answers import most_bytes
from fplbench.grid.jobs import Job
from fplbench.grid.plan import duration, estimate, planned, remember
from fplbench.grid.stop import EXIT, Stopped
from fplbench.machine.place import Place
from fplbench.plugins.executor import Executor
from fplbench.records.phrases import some
from fplbench.records.store import PREDICTIONS, ForeignRecord, Store
from fplbench.spec import Request

WORDS = {
    "done": "done",
    "absent": "to do",
    "damaged": "damaged, to be done again",
    "foreign": "of another version, left alone",
    "failed": "failed before",
    "diverged": "diverged before",
}
INTERRUPTED = 130
TO_DO, STOPPED = frozenset({"absent", "damaged"}), frozenset({"failed", "diverged"})

Statuses = Mapping[str, str]


def statuses(cells: Sequence[Job], store: Store) -> Statuses:
    """By a cell's id."""
    return {job.id: store.status(job.id) for job in cells}


def opened(
    request: Request, place: Place, where: Executor, devices: Sequence[str], jobs: int | None
) -> tuple[Workbench, list[Job]]:
    """The workbench and the cells of a request. What a user should know of plug-ins that are left
    out and of data is said."""
    bench = run.bench_of(place, where, devices, jobs, on_console(err))
    for broken in dict.fromkeys(bench.broken):
        warn(f"The plug-in {broken.name} ({broken.origin}) is left out: {broken.error}")
    names, left_out = run.present(request.datasets, bench)
    if left_out:
        line = f"Left out, not on disk: {', '.join(left_out)} (fplbench data list)."
        err.print(line, markup=False, soft_wrap=True)
    request = request.model_copy(update={"datasets": names})
    cells = run.cells_of(request, bench, devices[0].partition(":")[0])
    for name in names:
        if bench.dataset(name).wants:  # the user's own: nobody else can say whether it is right
            err.print(understood(name, bench.data(name)), markup=False, soft_wrap=True)
        for note in bench.data(name).notes:
            warn(f"{name}: {note}.")
    return bench, cells


@contextmanager
def watched(cells: Sequence[Job], bench: Workbench, store: Store) -> Iterator[Screen]:
    """A screen while cells are computed. Ctrl-C and SIGTERM end the command in one sentence."""
    remember(store.root, planned(cells), run.files(cells, bench))
    headlines = {job.cell.scenario: bench.scenario(job.cell).headline for job in cells}
    with Screen(len(cells), err, headlines) as screen:
        try:
            yield screen
        except KeyboardInterrupt:
            screen.stop()
            err.print("Stopped. Finished cells are kept; the same command goes on from there.")
            raise typer.Exit(INTERRUPTED) from None
        except Stopped:
            screen.stop()
            err.print(
                "Stopped by SIGTERM. Finished cells and checkpoints are kept; the same command "
                "goes on from there."
            )
            raise typer.Exit(EXIT) from None


def dry_run(cells: Sequence[Job], store: Store, processes: int, retry: bool) -> None:
    """A line for each cell, then what the run would take."""
    before = statuses(cells, store)
    todo = TO_DO | STOPPED if retry else TO_DO
    for job in cells:
        out.print(f"{WORDS[before[job.id]]:<25} {job.id}", markup=False, soft_wrap=True)
    left = [cell for cell in planned(cells) if before[cell.id] in todo]
    skipped = len(cells) - len(left)
    stay = "1 is left as it is" if skipped == 1 else f"{skipped} are left as they are"
    out.print(f"{some(len(cells), 'cell')}: {len(left)} to run, {stay}.")
    if not left:
        return
    found = estimate(left, store)
    known = len(left) - found.unknown
    if not known:
        out.print("No cell like these has been run in this folder, so there is no estimate.")
        return
    each = f", about {duration(found.seconds / processes)} with {processes} processes"
    out.print(
        f"By cells already run, {known} of them take {duration(found.seconds)} of computing"
        f"{each if processes > 1 else ''}, and {decimal(round(found.bytes))} on disk."
    )
    if found.unknown:
        out.print(f"Of {found.unknown} nothing is known: no cell like them has been run here.")


def without_predictions(cells: Sequence[Job], before: Statuses, store: Store) -> None:
    """Warn of cells that are done and will not be computed again for --keep-predictions."""
    done = [job for job in cells if before[job.id] == "done"]
    lacking = [job for job in done if not (store.root / job.id / PREDICTIONS).exists()]
    if lacking:
        many = "1 cell is" if len(lacking) == 1 else f"{len(lacking)} cells are"
        warn(
            f"{many} done without predictions and not computed again for --keep-predictions: "
            "name another --out to have them."
        )


def size_of_predictions(
    cells: Sequence[Job], before: Statuses, bench: Workbench, retry: bool
) -> None:
    """A line for --dry-run: what the predictions of the cells that are to be run will take."""
    todo = TO_DO | STOPPED if retry else TO_DO
    size = most_bytes([job.cell for job in cells if before[job.id] in todo], bench)
    out.print(f"Their predictions take at most {decimal(size)} on disk.")


def ended(cells: Sequence[Job], before: Statuses, store: Store) -> int:
    """The last screen: what is done, and what is not and why; the exit code."""
    after = statuses(cells, store)
    fresh = sum(after[job.id] == "done" != before[job.id] for job in cells)
    skipped = sum(after[job.id] == before[job.id] == "done" for job in cells)
    if skipped == len(cells):
        every = "the cell is" if skipped == 1 else f"all {skipped} cells are"
        out.print(f"Nothing to do: {every} in {store.root} already.", markup=False)
    else:
        were = f", {skipped} were done before" if skipped else ""
        out.print(f"{some(fresh, 'cell')} done{were}; records are in {store.root}.", markup=False)
    unfinished = [job for job in cells if after[job.id] != "done"]
    for job in unfinished:
        try:
            record = store.find(job.id)
        except ForeignRecord as error:
            err.print(str(error), style="red", markup=False, soft_wrap=True)
            continue
        if record is not None:
            message = record.error.message if record.error else ""
            err.print(
                f"{record.status}: {job.cell.label()}: {message} "
                f"(fplbench show {store.root / job.id})",
                style="red",
                markup=False,
                soft_wrap=True,
            )
    if unfinished:
        again = f"{len(unfinished)} of {len(cells)} cells are not done; --retry-failed tries again."
        err.print(again, style="red", markup=False)
    return 1 if unfinished else 0

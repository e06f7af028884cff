"""What a command does: from what was asked to cells, records, tables, and words on the screen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import platformdirs
from rich.console import Console

from fplbench import registry, reporting
from fplbench.data.progress import on_console
from fplbench.dataset import Dataset, chosen
from fplbench.environment import choose_device, full_precision, keep_freed_memory
from fplbench.errors import UserError
from fplbench.grid.expand import expand
from fplbench.grid.run import Tally, run_cells
from fplbench.grid.workbench import Workbench
from fplbench.registry import Broken, Found
from fplbench.screen import Screen
from fplbench.spec import Request
from fplbench.store import Store

ALL = ("all",)
INTERRUPTED = 130


def cache_folder() -> Path:
    """Where features and rendered data sets are kept: FPLBENCH_CACHE, or the user's cache."""
    named = os.environ.get("FPLBENCH_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("fplbench"))


def run(
    request: Request,
    output: Path,
    device: str,
    plugins: Sequence[Path],
    root: Path | None,
    out: Console,
    err: Console,
    skip_broken: bool = False,
) -> int:
    """Run the cells that are not done, show the table; returns the exit code.

    `all` in the request stands for every method, and for every data set that is present.
    """
    methods, datasets = registry.methods(plugins), registry.datasets(plugins)
    warn_of_broken([*methods.broken, *datasets.broken], err)
    everything = {"methods": tuple(methods.classes)} if request.methods == ALL else {}
    present_sets = present(request.datasets, datasets, root, err)
    request = request.model_copy(update={**everything, "datasets": present_sets})
    full_precision()
    keep_freed_memory()
    inputs = frozenset[str]().union(
        *(methods.classes[name].inputs for name in request.methods if name in methods.classes)
    )
    bench = Workbench(
        datasets.classes,
        root,
        cache_folder(),
        choose_device(device),
        inputs,
        skip_broken,
        on_console(err),
    )
    cells = expand(request, methods, datasets, bench)
    for name in request.datasets:
        for note in bench.data(name).notes:
            err.print(f"{name}: {note}.", style="yellow", markup=False, soft_wrap=True)
    store = Store(output)
    with Screen(len(cells), err) as screen:
        try:
            tally = run_cells(cells, methods, bench, store, screen)
        except KeyboardInterrupt:
            screen.stop()
            err.print("Stopped. Finished cells are kept; the same command goes on from there.")
            return INTERRUPTED
    _say(tally, output, out, err)
    ids = [record.id for record in tally.done + tally.unfinished] + tally.skipped
    reporting.show(output, ids, out, err)
    return 1 if tally.unfinished else 0


def present(
    names: tuple[str, ...], datasets: Found[Dataset], root: Path | None, err: Console
) -> tuple[str, ...]:
    """The data sets to run on; for `all` those whose files are there, the others are named."""
    if names != ALL:
        classes = [chosen(datasets.classes, name) for name in names]
        absent = [reason for cls in classes if cls is not None and (reason := cls().missing(root))]
        if absent:
            raise UserError("\n".join(absent))
        return names
    every = {name: cls for name, cls in datasets.classes.items() if not cls.wants}
    found = tuple(name for name, cls in every.items() if cls().missing(root) is None)
    if len(found) < len(every):
        absent = [name for name in every if name not in found]
        line = f"Left out, not on disk: {', '.join(absent)} (fplbench data list)."
        err.print(line, markup=False, soft_wrap=True)
    return found


def warn_of_broken(broken: Sequence[Broken], err: Console) -> None:
    """Name the plug-ins that cannot be used, each once; the others work."""
    for each in dict.fromkeys(broken):
        err.print(
            f"The plug-in {each.name} ({each.origin}) is left out: {each.error}",
            style="yellow",
            markup=False,
        )


def _say(tally: Tally, output: Path, out: Console, err: Console) -> None:
    count = len(tally.done)
    if not count and not tally.unfinished:
        out.print(f"Nothing to do: all {len(tally.skipped)} cells are in {output} already.")
    else:
        before = f", {len(tally.skipped)} were done before" if tally.skipped else ""
        out.print(f"{count} cells done{before}; records are in {output}.", markup=False)
    for record in tally.unfinished:
        message = record.error.message if record.error else ""
        err.print(
            f"{record.status}: {record.method} on {record.dataset}, seed {record.seed}: {message} "
            f"(fplbench show {output / record.id})",
            style="red",
            markup=False,
        )

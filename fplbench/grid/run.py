"""From a request to the cells of a run, each with its id and what is there of it already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from fplbench.clip.load import plain_name
from fplbench.data.progress import Watch
from fplbench.data.reading import missing_of
from fplbench.errors import UserError
from fplbench.features.stock import Workbench
from fplbench.grid.expand import expand
from fplbench.grid.jobs import Job
from fplbench.grid.plan import Files
from fplbench.grid.stale import Made, earlier, told
from fplbench.machine import process
from fplbench.machine.place import Place
from fplbench.plugins import provenance
from fplbench.plugins.base import chosen
from fplbench.plugins.executor import Executor
from fplbench.records.store import Store
from fplbench.spec import Cell, Request

ALL = ("all",)
STOPPED = ("failed", "diverged")


def bench_of(
    place: Place, executor: Executor, devices: Sequence[str], jobs: int | None, watch: Watch
) -> Workbench:
    """What the process that asks has at hand. It computes if no other does; else it only looks at
    data and weights, for which the CPU will do."""
    process.set_up(None)
    here = devices[0] if executor.alone(devices, jobs) else "cpu"
    return Workbench(replace(place, device=here), watch)


def present(names: tuple[str, ...], bench: Workbench) -> tuple[tuple[str, ...], list[str]]:
    """The data sets to run on, and those that are left out: for `all` those whose files are not
    here. UserError where one that is named is not."""
    root = bench.place.root
    if names != ALL:
        known = [chosen(bench.datasets.classes, name) for name in names]
        absent = [reason for cls in known if cls is not None and (reason := missing_of(cls, root))]
        if absent:
            raise UserError("\n".join(absent))
        # A data set by two spellings of its path is one.
        called = zip(names, known, strict=True)
        return tuple(dict.fromkeys(n if cls is None else cls.name for n, cls in called)), []
    if root is not None and not root.is_dir():
        raise UserError(f"there is no folder {root}: name the one of the data with --data-root.")
    every = {name: cls for name, cls in bench.datasets.classes.items() if not cls.wants}
    here = tuple(name for name, cls in every.items() if missing_of(cls, root) is None)
    return here, [name for name in every if name not in here]


def cells_of(request: Request, bench: Workbench, device: str) -> list[Job]:
    """The cells of a request. device: the kind that computes them. From now on the bench has all
    features that their methods read computed together."""
    if request.methods == ALL:
        request = request.model_copy(update={"methods": tuple(bench.methods.classes)})
    backbones = tuple(dict.fromkeys(plain_name(name) for name in request.backbones))
    request = request.model_copy(update={"backbones": backbones})
    return with_ids(expand(request, bench, device), bench)


def with_ids(cells: Sequence[Cell], bench: Workbench) -> list[Job]:
    """The cells with their ids, each id once: settings that change nothing are in no id. Features
    as in `cells_of`."""
    read_together(cells, bench)
    jobs: dict[str, Job] = {}
    for cell in cells:
        job = Job(cell, cell.id(bench.identity(cell, bench.methods.get(cell.method))))
        jobs.setdefault(job.id, job)
    return list(jobs.values())


def read_together(cells: Sequence[Cell], bench: Workbench) -> None:
    """From now on the bench has all features that these cells' methods read computed together."""
    inputs = frozenset[str]().union(*(bench.method(cell).inputs for cell in cells))
    bench.place = replace(bench.place, inputs=inputs)


def again(cells: Sequence[Job], store: Store) -> list[Job]:
    """The same cells, of which those that failed are to be computed once more."""
    return [
        replace(job, again=store.stamp(job.id)) if store.status(job.id) in STOPPED else job
        for job in cells
    ]


def changes(cells: Sequence[Cell], bench: Workbench, store: Store) -> Iterator[str]:
    """Why cells are computed of which a record seems to be there."""
    if not cells:
        return iter(())
    kinds = [bench.methods.get(cell.method) for cell in cells]
    made = [
        Made(cell, bench.identity(cell, kind), bench.code(cell, kind))
        for cell, kind in zip(cells, kinds, strict=True)
    ]
    return told(earlier(made, store.own()))


def files(cells: Sequence[Job], bench: Workbench) -> Files:
    """The files of the plug-ins that a run uses, but for those of the core."""
    used: Mapping[tuple[str, str], type] = {
        **{("method", job.cell.method): bench.methods.get(job.cell.method) for job in cells},
        **{("dataset", job.cell.dataset): bench.dataset(job.cell.dataset) for job in cells},
        **{("scenario", job.cell.scenario): type(bench.scenario(job.cell)) for job in cells},
        **{
            ("strategy", job.cell.strategy): strategy
            for job in cells
            if (strategy := bench.strategy(job.cell)) is not None
        },
    }
    return {key: provenance.files(cls) for key, cls in used.items() if not provenance.is_core(cls)}

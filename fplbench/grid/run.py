"""What a command does: from what was asked to cells, records, tables, and words on the screen."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from fplbench.cli.screen import Screen
from fplbench.data.progress import on_console
from fplbench.dataset import Dataset
from fplbench.errors import UserError
from fplbench.features.stock import Workbench
from fplbench.grid import report as grid_report
from fplbench.grid import slurm_options
from fplbench.grid.expand import expand
from fplbench.grid.on_ray import on_ray, require_ray
from fplbench.grid.on_slurm import on_slurm, require_slurm
from fplbench.grid.plan import Files, remember
from fplbench.grid.processes import in_process, in_processes, shared_out
from fplbench.grid.scalars import require_tensorboard
from fplbench.grid.stale import Made, earlier, told
from fplbench.grid.stop import EXIT, Stopped
from fplbench.grid.work import Job, Setup, Tools, settled
from fplbench.machine import process
from fplbench.machine.caches import cache_folder
from fplbench.machine.process import choose_device, choose_devices
from fplbench.plugins import provenance, registry
from fplbench.plugins.base import chosen
from fplbench.plugins.registry import Broken, Found
from fplbench.records.store import Store
from fplbench.report import write as reporting
from fplbench.spec import Cell, Request

ALL = ("all",)
INTERRUPTED = 130
STOPPED = ("failed", "diverged")


@dataclass(frozen=True)
class How:
    """How cells are computed, none of which changes their numbers (but the threads, in the last
    bit).

    device: auto, cpu, cuda:0, several with commas, or all. jobs: processes; None for one on each
    device. slurm: what is asked of Slurm for each job, KEY=VALUE. checkpoint: seconds between two.
    """

    device: str = "auto"
    jobs: int | None = None
    threads: int | None = None
    executor: Literal["local", "ray", "slurm"] = "local"
    gpus_per_cell: float | None = None
    slurm: tuple[str, ...] = ()
    cells_per_task: int | None = None
    retry_failed: bool = False
    tensorboard: bool = False
    checkpoint: float = 30.0
    skip_broken: bool = False
    dry_run: bool = False


def run(
    request: Request,
    output: Path,
    how: How,
    plugins: Sequence[Path],
    root: Path | None,
    out: Console,
    err: Console,
) -> int:
    """Run the cells that are not done, show the table; returns the exit code.

    `all` in the request stands for every method, and for every data set that is present.
    """
    found = opened(output, how, plugins, root, err)
    devices, tools, datasets = found.devices, found.tools, found.datasets
    methods, bench = tools.methods, tools.bench
    everything = {"methods": tuple(methods.classes)} if request.methods == ALL else {}
    present_sets = present(request.datasets, datasets, root, err)
    request = request.model_copy(update={**everything, "datasets": present_sets})
    kind = "cuda" if how.gpus_per_cell else devices[0].partition(":")[0]
    cells = expand(request, methods, datasets, bench, kind)
    setup = for_cells(found, cells)
    for name in request.datasets:
        for note in bench.data(name).notes:
            err.print(f"{name}: {note}.", style="yellow", markup=False, soft_wrap=True)
    work = [Job(cell, cell.id(bench.identity(cell, methods.get(cell.method)))) for cell in cells]
    store = Store(output)
    before = {job.id: store.status(job.id) for job in work}
    _tell_what_changed([job.cell for job in work if before[job.id] == "absent"], tools, store, err)
    if how.dry_run:
        grid_report.dry_run(work, before, store, found.jobs, how.retry_failed, out)
        return 0
    if how.retry_failed:
        stopped = {id for id, status in before.items() if status in STOPPED}
        setup = replace(setup, again={id: store.stamp(id) for id in stopped})
    if not all(settled(store, setup, job.id) for job in work):
        code = compute(work, setup, tools, devices, how, out, err)
        if code:
            return code
    after = {job.id: store.status(job.id) for job in work}
    grid_report.ended(work, before, after, store, out, err)
    reporting.show(output, [job.id for job in work], out, err)
    return 1 if any(status != "done" for status in after.values()) else 0


@dataclass(frozen=True)
class Opened:
    """What a command that computes has at hand. jobs: processes at a time."""

    devices: list[str]
    setup: Setup
    tools: Tools
    datasets: Found[Dataset]
    jobs: int


def opened(
    output: Path, how: How, plugins: Sequence[Path], root: Path | None, err: Console
) -> Opened:
    """Methods, data sets and devices; plug-ins that cannot be used are named."""
    _check(how)
    methods, datasets = registry.methods(plugins), registry.datasets(plugins)
    scenarios, strategies = registry.scenarios(plugins), registry.strategies(plugins)
    broken = (each.broken for each in (methods, datasets, scenarios, strategies))
    warn_of_broken(list(itertools.chain(*broken)), err)
    process.full_precision()
    process.keep_freed_memory()
    devices = _devices(how)
    setup = _setup(output, how, plugins, root, devices[0])
    # Several processes compute on the devices; this one then only looks at data and weights.
    jobs = how.jobs or len(devices)
    alone = how.executor == "local" and jobs == 1
    bench = Workbench(
        datasets.classes,
        root,
        setup.cache,
        choose_device(devices[0] if alone else "cpu"),
        how.skip_broken,
        on_console(err),
        scenarios,
        strategies,
    )
    return Opened(devices, setup, Tools(methods, bench), datasets, 1 if alone else jobs)


def for_cells(found: Opened, cells: Sequence[Cell]) -> Setup:
    """The setup to compute these cells, whose methods say which features are needed."""
    inputs = [found.tools.method(cell).inputs for cell in cells]
    found.tools.bench.inputs = frozenset[str]().union(*inputs)
    return replace(found.setup, inputs=found.tools.bench.inputs)


def _check(how: How) -> None:
    """Refuse what cannot be before any data is read."""
    if how.gpus_per_cell is not None and how.executor != "ray":
        raise UserError("--gpus-per-cell is for --executor ray: add that, or use --jobs.")
    if (how.slurm or how.cells_per_task is not None) and how.executor != "slurm":
        raise UserError("--slurm and --cells-per-task are for --executor slurm: add that.")
    if how.executor == "ray":
        require_ray()
    if how.executor == "slurm":
        slurm_options.read(how.slurm)
        require_slurm()
    if how.tensorboard:
        require_tensorboard()


def _devices(how: How) -> list[str]:
    """Where cells are computed. A job of Slurm's is given its own GPU alone, by the number 0."""
    if how.executor != "slurm":
        return choose_devices(how.device)
    wants = slurm_options.read(how.slurm).wants_gpu()
    device = ("cuda:0" if wants else "cpu") if how.device == "auto" else how.device
    if device not in ("cpu", "cuda:0"):
        raise UserError(f"--device {device}: with --executor slurm it is cpu or cuda:0.")
    return [device]


def _setup(
    output: Path, how: How, plugins: Sequence[Path], root: Path | None, device: str
) -> Setup:
    """What any process needs to know to compute a cell of this run."""
    return Setup(
        store=output,
        cache=cache_folder(),
        device=device,
        plugins=tuple(plugins),
        root=root,
        skip_broken=how.skip_broken,
        threads=how.threads,
        checkpoint=how.checkpoint,
        tensorboard=how.tensorboard,
    )


def compute(
    work: Sequence[Job],
    setup: Setup,
    tools: Tools,
    devices: Sequence[str],
    how: How,
    out: Console,
    err: Console,
) -> int:
    """Run the cells; 0, or the exit code of who stopped it."""
    remember(setup.store, grid_report.planned(work), _files(work, tools))
    headlines = {job.cell.scenario: tools.bench.scenario(job.cell).headline for job in work}
    with Screen(len(work), err, headlines) as screen:
        try:
            if how.executor == "ray":
                asked, here = how.gpus_per_cell, devices[0].startswith("cuda")
                part = float(here) if asked is None else asked
                # Ray shows a task its own GPU alone, by the number 0.
                device = "cuda:0" if part else "cpu"
                there = replace(setup.absolute(), device=device, threads=setup.threads or 1)
                on_ray(there, tools, work, screen, how.jobs, part)
            elif how.executor == "slurm":
                asked_of_slurm = slurm_options.read(how.slurm)
                threads = setup.threads or asked_of_slurm.threads() or 1
                there = replace(setup.absolute(), threads=threads)
                pack = how.cells_per_task or 1
                on_slurm(there, tools, work, screen, asked_of_slurm, how.jobs, pack)
            elif (how.jobs or len(devices)) == 1:
                process.use_threads(setup.threads)
                in_process(setup, tools, work, screen)
            else:
                jobs = how.jobs or len(devices)
                threads = process.threads()
                in_processes(shared_out(setup, devices, jobs, threads), tools, work, screen)
        except KeyboardInterrupt:
            screen.stop()
            err.print("Stopped. Finished cells are kept; the same command goes on from there.")
            return INTERRUPTED
        except Stopped:
            screen.stop()
            err.print(
                "Stopped by SIGTERM. Finished cells and checkpoints are kept; the same command "
                "goes on from there."
            )
            return EXIT
    return 0


def _tell_what_changed(cells: Sequence[Cell], tools: Tools, store: Store, err: Console) -> None:
    """Why cells are computed of which a record seems to be there."""
    if not cells:
        return
    kinds = [tools.methods.get(cell.method) for cell in cells]
    made = [
        Made(cell, tools.bench.identity(cell, kind), tools.bench.code(cell, kind))
        for cell, kind in zip(cells, kinds, strict=True)
    ]
    for line in told(earlier(made, store.records())):
        err.print(line, style="yellow", markup=False, soft_wrap=True)


def _files(work: Sequence[Job], tools: Tools) -> Files:
    """The files of the plug-ins that a run uses."""
    methods = {job.cell.method: tools.methods.get(job.cell.method) for job in work}
    datasets = {job.cell.dataset: tools.bench.dataset(job.cell.dataset) for job in work}
    scenarios = {job.cell.scenario: type(tools.bench.scenario(job.cell)) for job in work}
    strategies = {job.cell.strategy: tools.bench.strategy(job.cell) for job in work}
    return {
        **{("method", name): provenance.files(cls) for name, cls in methods.items()},
        **{("dataset", name): provenance.files(cls) for name, cls in datasets.items()},
        **{
            (kind, name): provenance.files(cls)
            for kind, found in (("scenario", scenarios), ("strategy", strategies))
            for name, cls in found.items()
            if cls is not None and not provenance.is_core(cls)
        },
    }


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

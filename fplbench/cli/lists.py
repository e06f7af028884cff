"""`fplbench list` and `fplbench show`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fplbench.cli.consoles import out
from fplbench.cli.options import DataRoot, Plugins
from fplbench.data.reading import missing_of
from fplbench.errors import UserError
from fplbench.plugins import registry

if TYPE_CHECKING:
    from fplbench.dataset import Dataset
    from fplbench.method import Method
    from fplbench.plugins.executor import Executor
    from fplbench.plugins.format import Format
    from fplbench.plugins.measure import Measure
    from fplbench.plugins.registry import Found
    from fplbench.records.record import Record
    from fplbench.scenario import Scenario
    from fplbench.strategy import Strategy


class Kind(StrEnum):
    """What `fplbench list` lists; of plug-ins the registry's function of that name."""

    methods = "methods"
    strategies = "strategies"
    datasets = "datasets"
    scenarios = "scenarios"
    metrics = "metrics"
    executors = "executors"
    formats = "formats"
    backbones = "backbones"
    presets = "presets"


def list_(kind: Kind, plugins: Plugins = None, data_root: DataRoot = None) -> None:
    """List what there is of a kind: methods, strategies, data sets and so on."""
    out.print(_listing(kind, plugins or [], data_root))


def show(
    path: Annotated[
        Path, typer.Argument(help="A cell's folder, a folder of cells, or a packed file.")
    ],
) -> None:
    """Show a record, or the records of a folder."""
    for part in _shown(path):
        out.print(part, soft_wrap=isinstance(part, Text))  # a command is copied in one piece


def _listing(kind: Kind, plugins: Sequence[Path], root: Path | None) -> RenderableType:
    """A table of one kind of thing, with what could not be loaded below it."""
    if kind is Kind.presets:
        return _presets()
    if kind is Kind.backbones:
        return _backbones()
    found = getattr(registry, kind.value)(plugins)
    if kind is Kind.datasets:
        table = _datasets(found, registry.scenarios(plugins), root)
    else:
        table = TABLES[kind](found)
    return Group(table, *_broken(found))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    return table


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(Text(cell) for cell in cells))


def _methods(methods: Found[Method] | Found[Strategy]) -> Table:
    table = _table("name", "title", "source", "from")
    for name, cls in methods.classes.items():
        _row(table, name, cls.title, cls.source, methods.origins[name])
    return table


def _datasets(datasets: Found[Dataset], scenarios: Found[Scenario], root: Path | None) -> Table:
    table = _table("name", "scenario", "here", "what it is", "from")
    for name, cls in datasets.classes.items():
        here = "" if cls.wants else "yes" if missing_of(cls, root) is None else "no"
        what, name = cls.summary, f"{name}:{cls.wants}" if cls.wants else name
        usual = registry.usual(cls, scenarios)
        _row(table, name, usual, here, what, datasets.origins[cls.name])
    return table


def _broken(found: Found[Any]) -> Iterator[Text]:
    for broken in found.broken:
        yield Text(f"left out: {broken.name} ({broken.origin}): {broken.error}", style="yellow")


def _scenarios(scenarios: Found[Scenario]) -> Table:
    table = _table("name", "what it is", "defaults", "from")
    for name, cls in scenarios.classes.items():
        settings = {**cls.Config().model_dump(), **cls.training_defaults}
        defaults = ", ".join(f"{key} {value}" for key, value in settings.items())
        shown = f"{name}:{cls.wants}" if cls.wants else name
        _row(table, shown, cls.summary, defaults, scenarios.origins[name])
    return table


def _metrics(metrics: Found[Measure]) -> Table:
    table = _table("name", "what it is", "better", "from")
    for name, cls in metrics.classes.items():
        unit = f" ({cls.unit})" if cls.unit else ""
        what = f"{cls.title}{unit}: {cls.meaning}"
        _row(table, name, what, "lower" if cls.lower_is_better else "higher", metrics.origins[name])
    return table


def _formats(formats: Found[Format]) -> Table:
    table = _table("name", "what it is", "usual", "from")
    for name, cls in formats.classes.items():
        _row(table, name, cls.summary, "yes" if cls.default else "no", formats.origins[name])
    return table


def _executors(executors: Found[Executor]) -> Table:
    table = _table("name", "what it is", "settings", "from")
    for name, cls in executors.classes.items():
        flags = ", ".join("--" + key.replace("_", "-") for key in cls.Config.model_fields)
        _row(table, name, cls.summary, flags, executors.origins[name])
    return table


TABLES: dict[Kind, Callable[[Any], Table]] = {
    Kind.methods: _methods,
    Kind.strategies: _methods,
    Kind.scenarios: _scenarios,
    Kind.metrics: _metrics,
    Kind.formats: _formats,
    Kind.executors: _executors,
}


def _presets() -> Group:
    from fplbench.grid.preset import presets

    parts = [Text("\n".join(preset.explained()) + "\n") for preset in presets().values()]
    return Group(*parts, Text("Run one with `fplbench run --preset NAME`; flags override it."))


def _backbones() -> Group:
    import open_clip

    table = _table("name", "what it is")
    _row(table, "tiny", "embedded, trained by us on rendered pictures (the default)")
    _row(table, "ARCH:path/to/checkpoint", "your own weights, e.g. ViT-B-16:clip.safetensors")
    for arch, tag in open_clip.list_pretrained():
        _row(table, f"{arch}:{tag}", "open_clip downloads it once")
    return Group(table)


def _shown(path: Path) -> Iterator[RenderableType]:
    """One record in full, or a line for each record of a folder."""
    from fplbench.records.record import Record
    from fplbench.records.results import read_all
    from fplbench.records.starts import nudge
    from fplbench.records.store import is_cell, read_record

    if not path.exists():
        raise UserError(f"There is nothing at {path}: give a cell's folder or a folder of cells.")
    if path.is_file() and is_cell(path.parent):
        path = path.parent
    if is_cell(path):
        yield from _record(read_record(path))
        return
    outcomes = read_all(path)
    known = any(isinstance(found, Record) and found.source for _, found in outcomes)
    table = _table("cell", "status", "metrics (%)", *(["from"] if known else []))
    problems = []
    for place, found in outcomes:
        if isinstance(found, Record):
            means = ", ".join(f"{name} {m.mean:.1f}" for name, m in found.metrics.items())
            name = str(place.relative_to(path)) if place.is_dir() else found.id
            start = f", moved start {nudge(found)}" if nudge(found) else ""
            _row(table, name, found.status + start, means, *([found.source] if known else []))
        else:
            problems.append(Text(found.message, style="red"))
    if not table.row_count and not problems:
        raise UserError(f"There are no records under {path}: run `fplbench run` first.")
    yield table
    yield from problems


def _record(record: Record) -> Iterator[RenderableType]:
    from fplbench.records import command

    yield Text(record.id, style="bold")
    yield Text(f"\n{command.line(record)}\n")
    facts = _table("", "")
    facts.show_header = False
    named = ("status", "method", "strategy", "dataset", "scenario", "backbone", "seed", "protocol")
    for name in named:
        _row(facts, name, str(getattr(record, name)))
    if record.source:
        _row(facts, "from", record.source)
    settings = ("settings", "strategy_settings", "scenario_settings", "training")
    for name in (*settings, "identity", "versions", "hardware"):
        values = getattr(record, name)
        _row(facts, name.replace("_", " "), ", ".join(f"{k} {v}" for k, v in values.items()))
    for name, files in record.code.items():
        _row(facts, f"code of the {name}", ", ".join(f"{k} {v}" for k, v in files.items()))
    _row(facts, "trained", f"{record.trainable_parameters} numbers a client")
    up, down = record.traffic.up_bytes, record.traffic.down_bytes
    _row(facts, "traffic", f"{up:,} bytes up, {down:,} down, all clients and rounds")
    _row(facts, "seconds", ", ".join(f"{k} {v:.2f}" for k, v in record.times.items()))
    if record.peak_bytes is not None:
        whose = "the GPU" if "gpu" in record.hardware else "the process, earlier cells' included"
        _row(facts, "peak memory", f"{record.peak_bytes / 1e6:,.0f} MB of {whose}")
    _row(facts, "never sampled", f"{record.never_sampled} of {len(record.clients)} clients")
    for note in record.notes:
        _row(facts, "note", note)
    if record.error:
        _row(facts, "error", record.error.message)
        if record.error.traceback:
            _row(facts, "", record.error.traceback)
    yield facts
    metrics = _table("metric", "mean (%)", "std over clients", "worst client", "clients")
    for name, m in record.metrics.items():
        spread = ["" if v is None else f"{v:.2f}" for v in (m.std, m.worst)]
        _row(metrics, name, f"{m.mean:.2f}", *spread, str(m.count))
    for name, reason in record.not_applicable.items():
        _row(metrics, name, "n/a", reason)
    yield metrics

"""Numbers of the committed reference come out again."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from benches import workbench

from fplbench.features.stock import Workbench
from fplbench.grid.journal import Journal
from fplbench.grid.runner import run_cell
from fplbench.machine import process
from fplbench.plugins import registry
from fplbench.plugins.provenance import version
from fplbench.records.record import Record
from fplbench.report import reference
from fplbench.report.reference_rows import TOLERANCE
from fplbench.spec import PROTOCOL, Cell, Training

FOUND, DAMAGED = reference.read()
RECORDS = [record for _, record in FOUND]


def seconds(record: Record) -> float:
    """Of the cell's own work; features are kept, and whoever came first encoded them."""
    return record.times.get("train", 0.0) + record.times.get("evaluate", 0.0)


def quickest() -> list[Record]:
    """The three cells of three methods and three data sets that took the least time together."""
    best: dict[tuple[str, str], Record] = {}
    for record in sorted(RECORDS, key=lambda r: (seconds(r), r.id)):
        best.setdefault((record.method, record.dataset), record)
    threes = (
        three
        for three in itertools.combinations(best, 3)
        if len({method for method, _ in three}) == len({data for _, data in three}) == 3
    )
    chosen = min(threes, key=lambda three: sum(seconds(best[pair]) for pair in three))
    return [best[pair] for pair in chosen]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    process.full_precision()
    cache = tmp_path_factory.mktemp("cache")
    return workbench(cache)


def test_the_file_is_whole_and_of_this_protocol() -> None:
    assert not DAMAGED
    assert {record.protocol for record in RECORDS} == {PROTOCOL}
    assert {record.backbone for record in RECORDS} == {"tiny"}
    assert reference.FILE.stat().st_size < 600_000
    assert reference.FILE.resolve() == (
        Path(__file__).parents[1] / "results" / "reference" / "embedded.jsonl.gz"
    )


@pytest.mark.parametrize("record", quickest(), ids=lambda record: record.id)
def test_a_cell_of_the_reference_comes_out_again(
    record: Record, bench: Workbench, tmp_path: Path
) -> None:
    """Within what rounding may move on another machine; a fault of the engine moves more, since
    a method's gain over zero-shot is many points and a seed's own draws make up several."""
    same = {"method", "settings", "dataset", "scenario", "scenario_settings", "backbone", "seed"}
    training = Training.model_validate(record.training)
    cell = Cell(training=training, **record.model_dump(include=same))
    again = run_cell(cell, bench, Journal(tmp_path, "cell")).record
    assert again.status == "done", again.error
    wanted = [name for name in record.headline if name in record.metrics]
    assert wanted
    for name in wanted:
        now = again.metrics[name].mean
        assert now == pytest.approx(record.metrics[name].mean, abs=TOLERANCE), name


def test_a_setting_that_came_later_moves_no_id() -> None:
    scenarios = registry.scenarios()
    for record in RECORDS:
        settings = scenarios.get(record.scenario).Config.model_validate(record.scenario_settings)
        same = {"method", "settings", "dataset", "scenario", "backbone", "seed"}
        cell = Cell(
            training=Training.model_validate(record.training),
            scenario_settings=settings.model_dump(mode="json"),
            **record.model_dump(include=same | {"strategy", "strategy_settings"}),
        )
        assert cell.id(record.identity) == record.id


def test_a_run_of_today_takes_the_references_cells_for_its_own() -> None:
    """A plug-in whose code has not changed keeps its hash, wherever the core's modules lie."""
    kinds = {"method": registry.methods(), "dataset": registry.datasets()}
    for record in {(r.method, r.dataset): r for r in RECORDS}.values():
        for kind, found in kinds.items():
            name = getattr(record, kind)
            assert version(found.get(name)) == record.identity[kind], name

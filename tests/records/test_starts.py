"""Which cells are one another's repeats from moved starts."""

from __future__ import annotations

from make_records import make_record

from fplbench.records.record import Metric, Record
from fplbench.records.starts import numbers, repeats


def cell(moved: int, **changes: object) -> Record:
    training = make_record().training | ({"nudge": moved} if moved else {})
    return make_record(**({"training": training} | changes))


def test_moved_starts_are_of_the_cell_that_differs_in_nothing_else() -> None:
    prox = {"strategy": "fedprox", "strategy_settings": {"mu": 0.1}}
    firmer = {"strategy": "fedprox", "strategy_settings": {"mu": 0.5}}
    ways = [{}, prox, firmer]
    cells = {(way, moved): cell(moved, **ways[way]) for way in range(3) for moved in range(3)}
    found = repeats(cells.values())
    assert found == {cells[way, 0].id: [cells[way, 1], cells[way, 2]] for way in range(3)}
    assert repeats([cell(0), cell(1, seed=1)]) == {}


def test_late_numbers_are_the_last_five_rounds() -> None:
    drawn = make_record(metrics={"local": Metric(mean=70.0, last5=60.0)})
    moved = cell(1, metrics={"local": Metric(mean=71.0, last5=65.0)})
    assert numbers(drawn, [moved], "local", late=True) == {0: 60.0, 1: 65.0}
    assert numbers(drawn, [moved], "local") == {0: 70.0, 1: 71.0}

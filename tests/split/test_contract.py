"""Every scenario that is found keeps the contract on embedded data, and faults are seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plugin_texts import scenario_text

from fplbench.dataset import Data
from fplbench.errors import UserError
from fplbench.plugins import registry
from fplbench.scenario import Clients, Exam, Question, Scenario
from fplbench.split.check import faults

SCENARIOS = registry.scenarios()
EMBEDDED = ("digits", "shapes", "shapes_domains", "shapes_domains+digits")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Data]:
    cache = tmp_path_factory.mktemp("cache")
    sets = registry.datasets()
    return {name: sets.get(name)().load(None, cache) for name in EMBEDDED}


def small(cls: type[Scenario]) -> Scenario:
    """With few clients, where it has such a setting, so that ten classes suffice."""
    return cls(cls.Config(**({"clients": 4} if "clients" in cls.Config.model_fields else {})))


def rows(made: Clients) -> list[list[int]]:
    return [each.tolist() for each in made.train_rows] + [e.rows.tolist() for e in made.exams]


@pytest.mark.parametrize("name", [n for n, cls in SCENARIOS.classes.items() if not cls.wants])
def test_a_scenario_keeps_the_contract_on_all_data_that_it_takes(
    name: str, embedded: dict[str, Data]
) -> None:
    scenario, taken = small(SCENARIOS.get(name)), []
    for source in embedded.values():
        try:
            made = scenario.build(source, 3)
        except UserError:  # it says why it cannot be made of these data
            continue
        taken.append(source)
        assert list(faults(made, source)) == []
        assert rows(made) == rows(scenario.build(source, 3))
    assert taken


def sound(source: Data) -> Clients:
    return small(SCENARIOS.get("personal")).build(source, 0)


def changed(exam: Exam, **changes: object) -> Exam:
    return replace(exam, **changes)  # type: ignore[arg-type]


def test_what_breaks_the_contract_is_named(embedded: dict[str, Data]) -> None:
    source = embedded["digits"]
    made = sound(source)
    first, *others = made.train_rows
    (exam,), (shared,) = made.exams, made.shared_exams
    counts = exam.questions["local"].counts
    everything = Question(np.ones_like(counts))
    broken = {
        "there is no client": replace(made, train_rows=()),
        "need as many names": replace(made, client_names=("a", "a", "b", "c")),
        "client 0 has no training images": replace(made, train_rows=(first[:0], *others)),
        "training rows must be from 0 to 1077": replace(made, train_rows=(first + 10**6, *others)),
        "dealt twice": replace(made, train_rows=(others[0], *others)),
        "not in train_classes": replace(made, train_classes=made.train_classes[1:]),
        "class_mask must have the shape [4, 10]": replace(made, class_mask=np.ones((1, 1), bool)),
        "must have 4 rows": replace(made, exams=(changed(exam, rows=exam.rows[1:]),)),
        "or -1": replace(made, exams=(changed(exam, rows=exam.rows + 10**6),)),
        "local: a row that is not there counts": replace(
            made, exams=(changed(exam, questions={"local": everything}),)
        ),
        "local: counts must have the shape": replace(
            made, exams=(changed(exam, questions={"local": Question(counts[1:])}),)
        ),
        "global: an image counts whose class": replace(
            made, shared_exams=(changed(shared, classes=shared.classes[1:]),)
        ),
    }
    assert list(faults(made, source)) == []
    for sentence, clients in broken.items():
        said = list(faults(clients, source))
        assert any(sentence in fault for fault in said), (sentence, said)


def test_a_plugin_is_a_scenario_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(scenario_text())
    found = registry.scenarios([tmp_path])
    assert {"mine", "base2novel", "personal"} <= found.classes.keys()
    assert found.origins["mine"] == str(tmp_path / "mine.py")

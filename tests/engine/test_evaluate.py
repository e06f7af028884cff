"""Measures of an evaluation: in chunks and batches, of clients without images, and bad ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_federation import Make, images

from fplbench.engine import evaluate as module
from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import evaluate
from fplbench.engine.federation import Federation
from fplbench.errors import UserError
from fplbench.plugins import registry
from fplbench.plugins.measure import Answers, Measure, PerImage

TEST = images(12, seed=2)
MEASURES = [cls() for cls in registry.metrics().classes.values()]


@pytest.fixture
def fed(federation: Make) -> Federation:
    cls = registry.methods().get("promptfl")
    return federation(cls(cls.Config(n_ctx=3)))


def numbers(fed: Federation, measures: list[Measure] = MEASURES, at_once: int = 3) -> dict:
    return evaluate(fed, TEST, 1, Chunk(at_once), measures=measures)


def test_every_question_has_every_measure_and_the_shared_prompt_no_worst_client(
    fed: Federation,
) -> None:
    found = numbers(fed)
    alone = {"global", "global.ece", "global.f1"}
    assert set(found) == alone | {"local", "local.ece", "local.f1", "local.worst"}
    assert {name: len(values) for name, values in found.items() if name in alone} == dict.fromkeys(
        alone, 1
    )


def test_other_measures_leave_the_accuracies_alone(fed: Federation) -> None:
    alone, among = numbers(fed, []) | evaluate(fed, TEST, 1, Chunk(3)), numbers(fed)
    assert set(alone) == {"local", "global"}
    for name, values in alone.items():
        assert np.array_equal(values, among[name])


def test_chunks_and_batches_change_no_measure(
    fed: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = numbers(fed)
    monkeypatch.setitem(module.ELEMENTS_AT_ONCE, "cpu", 5 * 2 * 4)
    cut = numbers(fed, at_once=2)
    assert set(cut) == set(whole)
    for name, values in whole.items():
        assert cut[name] == pytest.approx(values), name


@pytest.mark.parametrize("asked", [12, 0])
def test_a_client_without_images_has_no_number(fed: Federation, asked: int) -> None:
    """One of three, or all of them in an exam of no rows."""
    (exam,) = fed.scenario.exams
    question = exam.questions["local"]
    counts = question.counts[:, :asked].copy()
    counts[1] = False
    rows = exam.rows[:, :asked]
    fed.scenario = replace(
        fed.scenario,
        exams=(replace(exam, rows=rows, questions={"local": replace(question, counts=counts)}),),
    )
    found = numbers(fed)
    for name in ("local", "local.ece", "local.f1", "local.worst"):
        assert np.isnan(found[name]).tolist() == [not asked, True, not asked], name


class _Whole(PerImage):
    name, title, short, meaning = "whole", "a test", "T", "a test"

    def each(self, answers: Answers) -> torch.Tensor:
        return (answers.chosen + 1) / 0.0


class _OneForAll(_Whole):
    name = "one"

    def value(self, sums: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return sums[0].sum()


@pytest.mark.parametrize("measure", [_Whole(), _OneForAll()])
def test_a_measure_that_gives_no_finite_number_for_each_client_is_named(
    fed: Federation, measure: Measure
) -> None:
    with pytest.raises(ValueError, match=f"The measure {measure.name} gave"):
        numbers(fed, [measure])


def test_a_domain_that_reads_like_a_measure_is_refused(fed: Federation) -> None:
    (exam,) = fed.scenario.exams
    questions = {"domain/photo.ece": exam.questions["local"]}
    fed.scenario = replace(fed.scenario, exams=(replace(exam, questions=questions),))
    with pytest.raises(UserError, match=r"'domain/photo.ece' ends like the measure ece"):
        numbers(fed)

"""Measures of an evaluation: in chunks and batches, of clients without images, and bad ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_federation import Make, images

from fplbench.engine import alike, chunks
from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import evaluate
from fplbench.engine.federation import Federation
from fplbench.engine.memory import peak_bytes
from fplbench.errors import UserError
from fplbench.method import Batch, Task, Tensors
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
    monkeypatch.setitem(chunks.ELEMENTS, "cpu", 5 * 2 * 4)
    cut = numbers(fed, at_once=2)
    assert set(cut) == set(whole)
    for name, values in whole.items():
        assert cut[name] == pytest.approx(values), name


class Noting(registry.methods().get("maple")):  # type: ignore[misc]
    """Notes how many images of how many clients it is asked about; more than `most` together are
    too many for the machine."""

    def __init__(self, most: int = 10**9) -> None:
        super().__init__(self.Config(n_ctx=3))
        self.most = most
        self.asked: list[tuple[int, ...]] = []

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> torch.Tensor:
        self.asked.append(tuple(batch.mask.shape))
        if batch.mask.numel() > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        found: torch.Tensor = super().logits(params, text, batch, task)
        return found


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that start alike are asked one by one all the same."""
    monkeypatch.setattr(alike, "one_of", lambda models: None)


@pytest.mark.usefixtures("apart")
def test_images_that_take_more_than_their_logits_come_fewer_at_a_time(
    federation: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image tower's tokens are not seen in a tensor of clients, images, classes and patches."""
    noting = Noting()
    fed = federation(noting)

    def exam() -> dict[str, np.ndarray]:
        return evaluate(fed, TEST, 1, Chunk(3))

    whole = exam()
    assert max(images for _, images in noting.asked) == 12
    assert peak_bytes(exam) > 400_000
    monkeypatch.setitem(chunks.BUDGET, "cpu", 200_000)
    noting.asked.clear()
    found = exam()
    at_once = {images for clients, images in noting.asked if clients == 3}
    assert 1 in at_once  # the one that is counted
    assert 1 < max(at_once) < 12
    assert peak_bytes(exam) < 1.1 * 200_000  # the clients' own tensors come on top
    for name, values in whole.items():
        assert found[name] == pytest.approx(values), name


@pytest.mark.usefixtures("apart")
def test_a_shortage_of_memory_leaves_fewer_images_too(
    federation: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or fewer clients would be asked about more images each, and take as much again."""
    monkeypatch.setitem(chunks.ELEMENTS, "cpu", 5 * 3 * 4 * 5)  # images, clients, classes, tokens
    short, chunk = Noting(most=7), Chunk(3)
    found = evaluate(federation(short), TEST, 1, chunk)
    assert (chunk.clients, chunk.planned) == (1, 3)
    assert {*short.asked} == {(3, 1), (3, 5), (1, 1), (1, 5), (1, 2)}
    wanted = evaluate(federation(Noting()), TEST, 1, Chunk(3))
    for name, values in wanted.items():
        assert found[name] == pytest.approx(values), name


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

"""Answers that are kept of a test: the measures' own, whatever the chunks, each client's once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_federation import Make, images

from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import evaluate
from fplbench.engine.federation import Federation
from fplbench.engine.predictions import Predictions, answered
from fplbench.method import Batch, Task, Tensors
from fplbench.plugins import registry
from fplbench.plugins.measure import Answers
from fplbench.records.predictions import ALONE, Predicted, content

TEST = images(12, seed=2)
INF = float("inf")
PromptFL = registry.methods().get("promptfl")


def kept(fed: Federation, chunk: Chunk) -> Predicted:
    found = Predictions(TEST.labels, fed.newcomers)
    evaluate(fed, TEST, 1, chunk, predictions=found)
    return found.all()


def test_of_equal_logits_the_measures_choice_comes_first() -> None:
    logits = torch.zeros(1, 3, 7)
    logits[0, 1, 3:] = -INF
    logits[0, 2] = torch.tensor([1.0, 5, 2, 5, 0, 4, 3])
    answers = Answers(logits, torch.zeros(1, 3, dtype=torch.long))
    counts = torch.ones(1, 3, dtype=torch.bool)
    rows = torch.tensor([[8, 9, 7]])
    classes = 10 * np.arange(7)
    found = answered(answers, counts, rows, np.array([4]), classes)
    assert found.client.tolist() == [4, 4, 4]
    assert found.image.tolist() == [8, 9, 7]
    assert (found.top[:, 0] == classes[answers.chosen[0]]).all()
    assert all(len({*top}) == 5 for top in found.top[[0, 2]].tolist())
    assert sorted(found.top[1].tolist()) == [-1, -1, 0, 10, 20]
    assert found.top[2].tolist() == [10, 30, 50, 60, 20]
    wanted = answers.probabilities[0, 2, [1, 3, 5, 6, 2]].numpy().astype(np.float16)
    assert np.array_equal(found.probability[2], wanted)
    assert found.probability[1].tolist() == [np.float16(1 / 3)] * 3 + [0, 0]


def test_images_that_do_not_count_are_left_out() -> None:
    counts = torch.tensor([[True, False], [False, True]])
    answers = Answers(torch.randn(2, 2, 3), torch.zeros(2, 2, dtype=torch.long))
    rows = torch.tensor([[5, -1], [6, 7]])
    found = answered(answers, counts, rows, np.array([0, 2]), np.arange(3))
    assert (found.client.tolist(), found.image.tolist()) == ([0, 2], [5, 7])
    assert (found.top[:, 3:] == -1).all()


class Short(PromptFL):  # type: ignore[misc, valid-type]
    """Has room for one client at a time, and finds out when some images are answered already."""

    tight = True
    asked = 0

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> torch.Tensor:
        self.asked += 1
        if self.tight and len(batch.mask) > 1 and self.asked > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        found: torch.Tensor = super().logits(params, text, batch, task)
        return found


def test_a_chunk_that_was_too_much_leaves_nothing_twice(
    federation: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fplbench.engine import alike, chunks

    monkeypatch.setattr(alike, "one_of", lambda models: None)
    monkeypatch.setitem(chunks.ELEMENTS, "cpu", 3 * 4 * 4 * 5)  # five images of three clients
    files = []
    for tight in (False, True):
        method, chunk = Short(Short.Config(n_ctx=3)), Chunk(3)
        method.tight = tight
        found = kept(federation(method), chunk)
        assert chunk.clients == (1 if tight else 3)
        assert len(found.image) == 3 * 12 + 12
        assert found.client.tolist().count(ALONE) == 12
        files.append(content(replace(found, probability=found.probability * 0), "abcd"))
    assert files[0] == files[1]


def test_a_question_of_several_exams_is_kept_once_for_each_client(federation: Make) -> None:
    """Of the exam that gave the client's number."""
    fed = federation(PromptFL(PromptFL.Config(n_ctx=3)))
    (exam,) = fed.scenario.exams
    counts = exam.questions["local"].counts
    first, second = counts.copy(), counts.copy()
    first[1] = False
    first[:, 6:] = second[:, :2] = False

    def asked(which: np.ndarray) -> object:
        return replace(exam, questions={"local": replace(exam.questions["local"], counts=which)})

    fed.scenario = replace(fed.scenario, exams=(asked(first), asked(second)))
    found = kept(fed, Chunk(2))
    mine = found.client != ALONE
    for client, rows in ((0, range(6)), (1, range(2, 12)), (2, range(6))):
        assert found.image[mine & (found.client == client)].tolist() == [*rows]


def test_nothing_asked_is_an_empty_file(federation: Make) -> None:
    fed = federation(PromptFL(PromptFL.Config(n_ctx=3)))
    fed.scenario = replace(fed.scenario, exams=(), shared_exams=())
    found = kept(fed, Chunk(3))
    assert (found.questions, len(found.image)) == ((), 0)

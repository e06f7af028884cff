from __future__ import annotations

import math
from dataclasses import replace

import random_clients as some
import torch
from torch import Tensor
from torch.testing import assert_close

from fplbench.method import Batch, Method, Task


def answers(method: Method, batch: Batch, task: Task) -> Tensor:
    params = some.params(method, 3)
    return method.logits(params, method.encode(params, task), batch, task)


def with_memory(method: Method, batch: Batch, stored: Batch) -> Batch:
    return replace(batch, fixed=method.memory(some.task(), stored))


def test_with_weight_0_it_is_promptfl() -> None:
    method, promptfl = some.method("pfedprompt", alpha=0), some.method("promptfl")
    stored, exam = some.batch(3, seed=1), some.batch(3, seed=2, training=False)
    found = answers(method, with_memory(method, exam, stored), some.task())
    assert torch.equal(found, answers(promptfl, exam, some.task()))


def test_its_prompt_is_trained_as_promptfls() -> None:
    """A training image would find itself in the memory, and the prompt would learn nothing."""
    method, promptfl = some.method("pfedprompt", alpha=5), some.method("promptfl")
    params, batch = some.params(method, 3), some.batch(3)
    terms, grads = some.gradients(method, params, with_memory(method, batch, batch))
    expected_terms, expected = some.gradients(promptfl, params, batch)
    assert torch.equal(terms["ce"], expected_terms["ce"])
    assert torch.equal(grads["ctx"], expected["ctx"])


def test_the_memory_is_the_formula() -> None:
    alpha, beta = 0.7, 3.0
    method = some.method("pfedprompt", alpha=alpha, beta=beta)
    stored, exam = some.batch(3, seed=1), some.batch(3, images=2, seed=2, training=False)
    found = answers(method, with_memory(method, exam, stored), some.task())
    added = found - answers(method, exam, some.task())
    assert stored.labels is not None
    for c in range(3):
        for b in range(2):
            expected = torch.zeros(len(some.CLASSES))
            for s in range(int(stored.mask[c].sum())):
                cosine = float(exam.pooled[c, b] @ stored.pooled[c, s])
                expected[stored.labels[c, s]] += alpha * math.exp(-beta * (1 - cosine))
            assert_close(added[c, b], expected, rtol=1e-4, atol=1e-4)


def test_the_memory_knows_no_other_classes() -> None:
    method = some.method("pfedprompt")
    stored, exam = some.batch(3, seed=1), some.batch(3, seed=2, training=False)
    novel = some.task(some.OTHER_CLASSES)
    found = answers(method, with_memory(method, exam, stored), novel)
    assert torch.equal(found, answers(method, exam, novel))


def test_labels_are_found_by_name_in_another_class_list() -> None:
    method = some.method("pfedprompt")
    stored, exam = some.batch(3, seed=1), some.batch(3, seed=2, training=False)
    exam = with_memory(method, exam, stored)
    here = answers(method, exam, some.task())
    turned = answers(method, exam, some.task(some.CLASSES[::-1]))
    assert_close(turned.flip(-1), here, rtol=1e-5, atol=1e-5)

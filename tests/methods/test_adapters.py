"""Adapters that papers compare with, against plain loops over clients and images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import random_clients as some
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from fplbench.method import Method
from fplbench.plugins import registry


def made(name: str) -> Method:
    kind = registry.methods().get(name)
    return kind(kind.Config())


def test_tip_adapter_asks_the_clients_own_images_one_by_one() -> None:
    method, task = made("tipadapter"), some.task()
    stored, exam = some.batch(3, seed=1), some.batch(3, seed=2, training=False)
    kept = method.memory(task, stored)
    logits = method.logits({}, {}, replace(exam, fixed=kept), task)
    for c in range(3):
        for b, v in enumerate(exam.pooled[c]):
            wanted = task.logit_scale * task.clip_text_features @ v
            for i in range(int(stored.mask[c].sum())):
                near = torch.exp(-5.5 * (1 - v @ stored.pooled[c, i]))
                wanted = wanted + near * F.one_hot(stored.labels[c, i], len(some.CLASSES))
            assert_close(logits[c, b], wanted)


def test_tip_adapter_says_nothing_about_classes_without_an_image() -> None:
    method, other = made("tipadapter"), some.task(some.OTHER_CLASSES)
    kept = method.memory(some.task(), some.batch(2, seed=1))
    exam = some.batch(2, seed=2, training=False)
    found = method.logits({}, {}, replace(exam, fixed=kept), other)
    assert torch.equal(found, method.logits({}, {}, exam, other))


@pytest.mark.parametrize("name", ["tipadapter", "pfedprompt"])
def test_a_memory_tells_classes_of_one_name_apart(name: str) -> None:
    """As ImageNet's two of the name "missile"."""
    names = ("missile", "cat", "missile")
    method, alike = made(name), some.task(names)
    stored = replace(some.batch(1, seed=1), trained_on=names)
    assert stored.labels is not None
    asked = (names, names[::-1], ("dog", "missile"))
    for label, wanted in ((0, (0, 0, 1)), (1, (1, 1, None)), (2, (2, 2, 1))):
        kept = method.memory(alike, replace(stored, labels=torch.full_like(stored.labels, label)))
        exam = replace(some.batch(1, seed=2, training=False), fixed=kept, trained_on=names)
        for classes, place in zip(asked, wanted, strict=True):
            task = some.task(classes)
            text = {"t": task.clip_text_features[None]}
            plain = method.logits({}, text, replace(exam, fixed={}), task)
            moved = (method.logits({}, text, exam, task) - plain)[0].abs().sum(0) > 0
            assert moved.nonzero().flatten().tolist() == ([] if place is None else [place])


@pytest.mark.parametrize("client", range(2))
def test_fedclip_weighs_features_before_they_are_compared(client: int) -> None:
    method, task = made("fedclip"), some.task()
    params, exam = some.params(method, 2), some.batch(2, training=False)
    logits = method.logits(params, {}, exam, task)
    w1, b1, w2, b2 = (params[name][client] for name in ("w1", "b1", "w2", "b2"))
    for b, v in enumerate(exam.pooled[client]):
        shares = (w2 @ torch.tanh(w1 @ v + b1) + b2).softmax(0)
        moved = shares * v
        wanted = task.logit_scale * task.clip_text_features @ (moved / moved.norm())
        assert_close(logits[client, b], wanted)

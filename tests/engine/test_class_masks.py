"""Where clients train or are asked among classes of their own, in any chunk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from plain_clients import TRAINING, made
from random_clients import method
from small_federation import Make, federation, images, task

from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import evaluate
from fplbench.engine.federation import Federation
from fplbench.engine.fit import run_round, setup_of
from fplbench.engine.membership import _odds
from fplbench.method import Batch
from fplbench.scenario import Question

__all__ = ["federation", "task"]  # fixtures

MASK = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=bool)


def asked_about_own(fed: Federation) -> Federation:
    (exam,) = fed.scenario.exams
    labels = images(12, seed=2).labels
    counts = np.stack([np.isin(labels, np.flatnonzero(own)) for own in MASK])
    exam = replace(exam, questions={"local_own": Question(counts, MASK)})
    fed.scenario = replace(fed.scenario, exams=(exam,))
    return fed


def test_own_classes_are_each_clients_whatever_the_chunk(federation: Make) -> None:
    test = images(12, seed=2)
    one, other = (
        evaluate(asked_about_own(federation(method("coop"))), test, 1, Chunk(n))["local_own"]
        for n in (3, 1)
    )
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert len(set(np.asarray(other).tolist())) > 1


def test_a_client_trains_among_its_own_classes(federation: Make) -> None:
    plain, cut = federation(method("coop")), federation(method("coop"))
    labels = cut.images.labels
    rows = tuple(
        row[np.isin(labels[row], np.flatnonzero(own))]
        for row, own in zip(cut.scenario.train_rows, MASK, strict=True)
    )
    everybody = TRAINING.model_copy(update={"participation": 1.0})
    for fed, mask in ((plain, None), (cut, MASK)):
        fed.scenario = replace(fed.scenario, train_rows=rows, class_mask=mask)
        fed.sizes = torch.tensor([len(row) for row in rows])
        run_round(fed, everybody, 1, Chunk(2))
    assert not torch.equal(plain.private["ctx"], cut.private["ctx"])
    first = torch.zeros(2, 1, dtype=torch.long)
    batch = cut.local_data([2, 0], [0]).batch(first, first == 0, first[:, 0], {})
    assert batch.class_mask is not None
    assert batch.class_mask.tolist() == MASK[[2, 0]].tolist()


def test_membership_asks_among_the_same_classes() -> None:
    logits = torch.tensor([[[1.0, 0.5, 9.0]]])
    batch = Batch(
        mask=torch.ones(1, 1, dtype=torch.bool),
        pooled=torch.zeros(1, 1, 1),
        labels=torch.zeros(1, 1, dtype=torch.long),
        class_mask=torch.tensor([[True, True, False]]),
    )
    assert _odds(logits, batch).item() == pytest.approx(0.5)


def test_who_flips_labels_has_a_finite_loss_among_other_classes(federation: Make) -> None:
    fed = federation(method("promptfl"))
    way = made("mean", malicious=0.34).set_up(setup_of(0, (9, 5, 12), TRAINING))
    mask = torch.zeros(3, 4, dtype=torch.bool)
    mask[:, :2] = True
    pooled = images(6, seed=3).pooled
    assert pooled is not None
    batch = Batch(
        mask=torch.ones(3, 2, dtype=torch.bool),
        pooled=pooled.view(3, 2, -1),
        labels=torch.tensor([[0, 1]] * 3),
        class_mask=mask,
        clients=torch.arange(3),
    )
    terms = way.losses({"ctx": torch.randn(3, 4, 32)}, batch, fed.task)
    assert terms["ce"].isfinite().all()

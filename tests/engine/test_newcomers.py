"""Clients that take no part in training are tested apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_clients import method
from small_federation import Make, images

from fplbench.engine import newcomers
from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import evaluate
from fplbench.engine.fit import fit
from fplbench.errors import UserError
from fplbench.metrics.accuracy import Accuracy
from fplbench.metrics.ece import Calibration
from fplbench.plugins import registry
from fplbench.records import summary
from fplbench.spec import Training

TRAINING = Training(rounds=2, local_epochs=1, batch_size=4, lr=0.5, new_client_epochs=3)
SIZES = (9, 5, 12, 7)
TEST = images(12, seed=2)
MEASURES = (Accuracy(), Calibration())


@given(clients=st.integers(2, 60), share=st.floats(0, 0.99), seed=st.integers(0, 5))
def test_a_share_of_the_clients_is_new_and_the_others_are_not(
    clients: int, share: float, seed: int
) -> None:
    new, old = newcomers.choose(clients, share, seed)
    assert sorted([*new.tolist(), *old.tolist()]) == list(range(clients))
    assert len(old) >= 1
    wanted = max(1, math.floor(share * clients + 1e-9)) if share else 0
    assert len(new) == wanted
    again, _ = newcomers.choose(clients, share, seed)
    assert torch.equal(new, again)


def test_a_share_that_leaves_nobody_to_train_is_refused() -> None:
    with pytest.raises(UserError, match=r"new_clients 0\.5 of 1 clients leaves nobody to train"):
        newcomers.choose(1, 0.5, 0)


@pytest.mark.parametrize("name", ["promptfl", "fedpgp", "pfedmoap", "zeroshot"])
def test_new_clients_train_nothing_and_are_asked_twice(federation: Make, name: str) -> None:
    fed = federation(method(name), SIZES, new=0.5)
    drawn = {key: t.clone() for key, t in fed.private.items()}
    new, old = fed.newcomers.tolist(), fed.taking_part.tolist()
    taking_part: set[int] = set()
    found = fit(
        fed,
        TRAINING,
        TEST,
        Chunk(3),
        lambda index, log, accuracies: taking_part.update(log.clients if log else ()),
    )
    assert taking_part == (set(old) if fed.trained else set())
    assert fed.times[new].tolist() == [0, 0]
    for key, t in fed.private.items():
        assert torch.equal(t[new], drawn[key][new])
    assert np.isnan(found["local"][new]).all()
    for kind in ("new_local", "tuned_local"):
        assert np.isnan(found[kind][old]).all()
        assert not np.isnan(found[kind][new]).any()
    # As they come they are what a client is that was never sampled.
    fed.newcomers = fed.newcomers[:0]
    everybody = evaluate(fed, TEST, TRAINING.rounds, Chunk(4), TRAINING)["local"]
    np.testing.assert_array_equal(found["new_local"][new], everybody[new])
    np.testing.assert_array_equal(found["local"][old], everybody[old])
    if not fed.trained:
        np.testing.assert_array_equal(found["tuned_local"][new], everybody[new])


def test_their_own_epochs_are_those_of_fine_tuning(federation: Make) -> None:
    fed = federation(method("promptfl"), SIZES, new=0.5)
    fit(fed, TRAINING, TEST, Chunk(4), lambda *_: None)
    found = evaluate(fed, TEST, TRAINING.rounds, Chunk(4), TRAINING, MEASURES)
    finetune = registry.strategies().get("finetune")
    tuned = federation(finetune(finetune.Config(epochs=3), method("promptfl")), SIZES)
    tuned.server = fed.server
    wanted = evaluate(tuned, TEST, TRAINING.rounds, Chunk(4), TRAINING, MEASURES)
    new = fed.newcomers.tolist()
    for end in ("", ".ece"):
        np.testing.assert_array_equal(found[f"tuned_local{end}"][new], wanted[f"local{end}"][new])
    assert not np.array_equal(found["tuned_local.ece"][new], found["new_local.ece"][new])


def test_a_question_that_reads_like_one_for_new_clients_is_refused() -> None:
    with pytest.raises(UserError, match="rename it"):
        newcomers.refuse_ambiguous({"local": 0, "new_styles": 0})


def test_their_numbers_are_derived_like_all_others() -> None:
    kinds = ("", "new_", "tuned_")
    found = summary.summarise(
        {f"{kind}{name}": np.array([value, np.nan]) for kind in kinds
         for name, value in (("local", 50.0), ("base", 60.0), ("novel", 70.0),
                             ("domain/a", 10.0), ("domain/b", 30.0))}
    )  # fmt: skip
    for kind in kinds:
        assert found[f"{kind}hm"].mean == pytest.approx(3 / (1 / 50 + 1 / 60 + 1 / 70))
        assert found[f"{kind}domains"].mean == 20


@pytest.mark.parametrize(("asked", "old", "new"), [(1, 1, 1), (2, 2, 2), (3, 3, 2), (9, 3, 2)])
def test_a_sample_of_the_clients_is_asked_what_all_would_be(
    federation: Make, asked: int, old: int, new: int
) -> None:
    sizes = (4, 5, 6, 7, 8)
    whole = federation(method("fedpgp"), sizes, new=0.4)
    few = federation(method("fedpgp"), sizes, new=0.4, evaluated=asked)
    found = evaluate(few, TEST, 1, Chunk(4), TRAINING)
    everybody = evaluate(whole, TEST, 1, Chunk(4), TRAINING)
    assert found.keys() == everybody.keys()
    counts = {"local": old, "new_local": new, "tuned_local": new}
    for name, count in counts.items():
        there = ~np.isnan(found[name])
        assert there.sum() == count
        np.testing.assert_array_equal(found[name][there], everybody[name][there])
    np.testing.assert_array_equal(found["global"], everybody["global"])

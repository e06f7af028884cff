"""Membership inference: on numbers that are known, and on federations that were really trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_federation import Make, scenario

from fplbench.engine.chunks import Chunk
from fplbench.engine.fit import run_round
from fplbench.engine.membership import Leak, halves, judged, log_odds
from fplbench.plugins import registry
from fplbench.spec import Training

SIZES = (12, 9, 1)


def test_each_image_is_in_half_of_the_federations() -> None:
    clients = scenario(SIZES)
    runs = [halves(clients, 0, number) for number in range(6)]
    for client, rows in enumerate(clients.train_rows[:2]):
        held = np.concatenate([run[client] for run in runs])
        assert np.array_equal(np.unique(held, return_counts=True)[1], np.full(len(rows), 3))
        assert not np.array_equal(runs[0][client], runs[2][client])
    assert all(np.array_equal(run[2], clients.train_rows[2]) for run in runs)


def guesses(gap: float, hard: float, runs: int = 8, images: int = 600) -> Leak:
    """phi is higher by `gap` where an image was in; images differ among themselves by `hard`."""
    rng = np.random.default_rng(0)
    of_image = hard * rng.standard_normal(images)
    found = []
    for number in range(runs):
        if number % 2 == 0:
            inside = np.arange(images) < images // 2
            inside = rng.permutation(inside)
        else:
            inside = ~inside
        phi = of_image + gap * inside + rng.standard_normal(images)
        found.append((phi, inside))
    return judged(found)


def test_no_gap_is_a_guess_and_a_wide_one_is_certain() -> None:
    none, wide = guesses(0.0, 1.0), guesses(8.0, 1.0)
    for found in (none.loss, none.likelihood):
        assert abs(found.mean() - 0.5) < 0.02
    assert wide.loss.mean() > 0.99
    assert wide.likelihood.mean() > 0.99
    assert none.images == 600


def test_the_likelihood_knows_that_some_images_are_harder() -> None:
    found = guesses(1.0, 5.0)
    assert found.loss.mean() < 0.6
    # Two normals a deviation apart: the best guess has an area of 0.76; their means are estimated.
    assert 0.65 < found.likelihood.mean() < 0.77


def test_too_few_federations_are_refused() -> None:
    with pytest.raises(ValueError, match="5 federations: an attack needs pairs, 6 or more"):
        guesses(1.0, 1.0, runs=5)


def test_what_a_long_training_keeps_of_its_images_is_found(federation: Make) -> None:
    coop = registry.methods().get("coop")
    training = Training(rounds=4, local_epochs=10, batch_size=4, lr=0.3)
    found = []
    for number in range(6):
        fed = federation(coop(coop.Config(n_ctx=4, csc=True)), (12, 12, 12))
        whole = fed.scenario
        fed.scenario = replace(whole, train_rows=halves(whole, 0, number))
        fed = type(fed)(fed.method, fed.task_for, fed.scenario, fed.images, 0, fed.device)
        for index in range(1, training.rounds + 1):
            run_round(fed, training, index, Chunk(3))
        pairs = zip(whole.train_rows, fed.scenario.train_rows, strict=True)
        inside = np.concatenate([np.isin(every, half) for every, half in pairs])
        found.append((log_odds(fed, whole, training, Chunk(2)), inside))
    # In whatever portions they are asked about.
    whole_batch = training.model_copy(update={"batch_size": 100})
    asked = log_odds(fed, whole, whole_batch, Chunk(3))
    np.testing.assert_allclose(asked, found[-1][0], rtol=1e-4, atol=1e-5)
    leak = judged(found)
    assert leak.images == 36
    assert leak.loss.mean() > 0.8
    assert leak.likelihood.mean() > 0.8

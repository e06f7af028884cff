"""The loop over rounds: what it tells, and that it goes on from where another one was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from random_clients import method
from small_federation import images

from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import Accuracies
from fplbench.engine.federation import Federation
from fplbench.engine.fit import RoundLog, fit
from fplbench.method import Tensors
from fplbench.spec import Training

Make = Callable[..., Federation]

TRAINING = Training(rounds=4, local_epochs=1, participation=0.67, batch_size=4, evaluations=2)
TEST = images(12, seed=2)


def silent(index: int, log: RoundLog | None, accuracies: Accuracies | None) -> None:
    """Nobody is told."""


def test_each_round_is_told_with_the_accuracies_of_those_that_are_tested(federation: Make) -> None:
    told: list[tuple[int, int, bool]] = []

    def on_round(index: int, log: RoundLog | None, accuracies: Accuracies | None) -> None:
        assert log is not None
        told.append((index, log.index, accuracies is not None))

    last = fit(federation(method("promptfl")), TRAINING, TEST, Chunk(3), on_round)
    assert told == [(1, 1, False), (2, 2, True), (3, 3, False), (4, 4, True)]
    assert set(last) == {"local", "global"}


@pytest.mark.parametrize("name", ["promptfl", "fedotp", "coop", "zeroshot"])
def test_from_any_round_another_federation_ends_with_the_same_bits(
    federation: Make, name: str
) -> None:
    kept: dict[int, tuple[Tensors, Accuracies]] = {0: ({}, {})}
    whole = federation(method(name))

    def keep(index: int, log: RoundLog | None, accuracies: Accuracies | None) -> None:
        tensors = {key: t.clone() for key, t in whole.state_dict().items()}
        kept[index] = tensors, accuracies or kept[index - 1][1]

    ended = fit(whole, TRAINING, TEST, Chunk(3), keep)
    for done in (1, 2, 3):
        tensors, accuracies = kept[done]
        other = federation(method(name))
        other.load_state_dict(tensors)
        again = fit(other, TRAINING, TEST, Chunk(3), silent, done, accuracies)
        assert again.keys() == ended.keys()
        assert all((again[key] == ended[key]).all() for key in ended)
        after = other.state_dict()
        assert list(after) == list(whole.state_dict())
        assert all(torch.equal(after[key], t) for key, t in whole.state_dict().items())


def test_what_trains_nothing_is_tested_once_and_told_after_every_tested_round(
    federation: Make,
) -> None:
    fed = federation(method("zeroshot"))
    found: list[Accuracies] = []

    def on_round(index: int, log: RoundLog | None, accuracies: Accuracies | None) -> None:
        assert log is None
        if accuracies is not None:
            found.append(accuracies)

    fit(fed, TRAINING, TEST, Chunk(3), on_round)
    assert len(found) == 2
    assert found[0] is found[1]


def test_the_state_of_other_clients_is_refused_and_changes_nothing(federation: Make) -> None:
    fed, other = federation(method("coop")), federation(method("coop"), sizes=(4, 4))
    before = {key: t.clone() for key, t in fed.state_dict().items()}
    with pytest.raises(ValueError, match="clients keep"):
        fed.load_state_dict(other.state_dict())
    assert all(torch.equal(before[key], t) for key, t in fed.state_dict().items())

"""Any method under any strategy, without a line for the pair."""

from __future__ import annotations

import itertools

import pytest
import torch
from small_federation import Make, images

from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import evaluate
from fplbench.engine.federation import Federation
from fplbench.engine.fit import run_round
from fplbench.method import Method
from fplbench.plugins import registry
from fplbench.spec import Training
from fplbench.strategy import Strategy, refusal

METHODS, STRATEGIES = registry.methods().classes, registry.strategies().classes
TRAINING = Training(rounds=2, local_epochs=1, batch_size=4, lr=0.05)


def learner(name: str) -> Method:
    kind = METHODS[name]
    fields = {"n_ctx": 4} if "n_ctx" in kind.Config.model_fields else {}
    return kind(kind.Config(**fields))


def together(method: str, strategy: str) -> Strategy:
    way = STRATEGIES[strategy]
    return way(way.Config(), learner(method))


PAIRS = [
    pair
    for pair in itertools.product(METHODS, STRATEGIES)
    if refusal(METHODS[pair[0]], STRATEGIES[pair[1]]) is None
]


def ended(fed: Federation, rounds: int = 2) -> dict[str, torch.Tensor]:
    for index in range(1, rounds + 1):
        run_round(fed, TRAINING, index, Chunk(3))
    return fed.state_dict()


@pytest.mark.parametrize(("method", "strategy"), PAIRS)
def test_a_pair_trains_and_is_tested(federation: Make, method: str, strategy: str) -> None:
    made = together(method, strategy)
    fed_of = federation(learner(method))
    if made.refusal(fed_of.specs):  # said before anything starts: tests/grid/test_expand.py
        return
    fed = federation(made)
    run_round(fed, TRAINING, 1, Chunk(3))
    found = evaluate(fed, images(12, seed=2), 1, Chunk(3), TRAINING)
    assert "local" in found
    assert set(fed_of.specs) <= set(fed.specs)


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(theirs[n], t) for n, t in ours.items())


def test_coop_with_fedavg_is_promptfl_and_promptfl_with_local_is_coop(federation: Make) -> None:
    assert same(
        ended(federation(together("coop", "fedavg"))), ended(federation(learner("promptfl")))
    )
    assert same(
        ended(federation(together("promptfl", "local"))), ended(federation(learner("coop")))
    )


@pytest.mark.parametrize("method", ["promptfl", "fedpgp", "fedotp", "pfedprompt"])
def test_fedavg_is_what_a_method_does_that_says_nothing(federation: Make, method: str) -> None:
    ours = ended(federation(together(method, "fedavg")))
    assert same(ours, ended(federation(learner(method))))


def test_promptfls_own_proximal_term_is_fedprox(federation: Make) -> None:
    kind, way = METHODS["promptfl"], STRATEGIES["fedprox"]
    own = kind(kind.Config(n_ctx=4, prox_mu=0.3))
    ours = way(way.Config(mu=0.3), learner("promptfl"))
    found, wanted = ended(federation(ours)), ended(federation(own))
    torch.testing.assert_close(found["server.ctx"], wanted["server.ctx"])


def test_the_shared_prompt_of_a_method_without_private_tensors_is_a_model_of_its_own(
    federation: Make,
) -> None:
    assert federation(learner("coop")).shared_model() is None
    for way in ("fedavg", "scaffold"):
        assert federation(together("coop", way)).shared_model() is not None
    assert federation(together("coop", "fedper")).shared_model() is None


def test_what_a_learner_does_before_a_test_is_kept_and_other_ways_of_its_own_are_refused() -> None:
    promptfl = METHODS["promptfl"]
    prepared = type("Prepared", (promptfl,), {"test_epochs": 2})
    way = STRATEGIES["fedavg"]
    assert way(way.Config(), prepared(prepared.Config())).test_epochs == 2
    assert refusal(prepared, way) is None
    for hook, value in (("for_test", lambda self, server, r: server), ("by_image", True)):
        own = type("Own", (promptfl,), {hook: value})
        assert f"it says itself what travels ({hook})" in str(refusal(own, way))

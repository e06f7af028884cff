"""Attackers and defences against plain loops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from plain_clients import TRAINING, made
from small_federation import Make
from torch import Tensor

from fplbench.engine.chunks import Chunk
from fplbench.engine.federation import Federation
from fplbench.engine.fit import run_round, setup_of
from fplbench.engine.train import draw_steps
from fplbench.strategies._attacks import Defence

SIZES = (9, 5, 8, 6, 5, 7, 6)
EVERYBODY = TRAINING.model_copy(update={"participation": 1.0, "rounds": 2})


def ready(federation: Make, strategy: str, **settings: object) -> tuple[Federation, Defence]:
    method = made(strategy, **settings)
    assert isinstance(method, Defence)
    method = method.set_up(setup_of(0, SIZES, EVERYBODY))
    return federation(method, SIZES), method


def trained(fed: Federation, ctx: Tensor, client: int, index: int, lies: bool) -> Tensor:
    """A client's context after a round of SGD, on flipped labels where it lies."""
    live = ctx.clone().requires_grad_()
    optimizer = torch.optim.SGD([live], EVERYBODY.lr, 0.9, weight_decay=5e-4)
    epochs, batch = EVERYBODY.local_epochs, EVERYBODY.batch_size
    steps = draw_steps([SIZES[client]], [client], batch, epochs, 0, index)
    for order, mask in zip(steps.index[:, 0], steps.mask[:, 0], strict=True):
        rows = torch.from_numpy(fed.scenario.train_rows[client])[order[mask]]
        labels = torch.from_numpy(fed.images.labels)[rows]
        labels = len(fed.task.classnames) - 1 - labels if lies else labels
        t = F.normalize(fed.task.encode_prompts(live[None, None])[0, 0], dim=-1)
        loss = F.cross_entropy(fed.task.logit_scale * fed.images.pooled[rows] @ t.T, labels)
        (live.grad,) = torch.autograd.grad(loss, live)
        optimizer.step()
    return live.detach()


def median(sent: Tensor, liars: int) -> Tensor:
    return torch.from_numpy(np.median(sent.numpy(), axis=0))


def krum(sent: Tensor, liars: int) -> Tensor:
    flat = sent.flatten(1)
    scores = []
    for c in range(len(flat)):
        far = sorted(float((flat[c] - flat[i]).square().sum()) for i in range(len(flat)) if i != c)
        scores.append(sum(far[: len(flat) - liars - 2]))
    return sent[int(np.argmin(scores))]


RULES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "mean": lambda sent, _: sent.mean(0),
    "median": median,
    "krum": krum,
}


@pytest.mark.parametrize("attack", ["labels", "model"])
@pytest.mark.parametrize("strategy", RULES)
def test_a_defence_among_attackers(federation: Make, strategy: str, attack: str) -> None:
    fed, method = ready(federation, strategy, malicious=0.3, attack=attack, scale=3.0)
    liars = method.attackers
    assert len(liars) == 2
    ctx = fed.server["ctx"].clone()
    for index in (1, 2):
        clients = sorted(run_round(fed, EVERYBODY, index, Chunk(3)).clients)
        assert clients == list(range(len(SIZES)))
        sent = []
        for c in clients:
            lies = c in liars
            after = trained(fed, ctx, c, index, lies and attack == "labels")
            sent.append(ctx - 3.0 * (after - ctx) if lies and attack == "model" else after)
        ctx = RULES[strategy](torch.stack(sent), 3)  # 0.3 of 7 clients, rounded up
        torch.testing.assert_close(fed.server["ctx"], ctx, rtol=0, atol=5e-5)


def test_attackers_follow_from_the_seed_and_are_named(federation: Make) -> None:
    _, method = ready(federation, "mean", malicious=0.3)
    fact = method.facts()["malicious"]
    assert fact.value == f"2 of 7 clients ({method.attackers[0]}, {method.attackers[1]})"
    assert "labels flipped" in fact.meaning
    seeds = {method.set_up(setup_of(s, SIZES, EVERYBODY)).attackers for s in range(20)}
    assert len(seeds) > 5
    _, nobody = ready(federation, "mean")
    assert nobody.attackers == ()
    assert nobody.facts()["malicious"].value == "none"


def test_a_model_attack_moves_the_mean_and_not_the_defences(federation: Make) -> None:
    moved = {}
    for strategy in RULES:
        ends = []
        for malicious in (0.0, 0.29):
            settings = {"malicious": malicious, "attack": "model", "scale": 100.0}
            fed, _ = ready(federation, strategy, **settings)
            run_round(fed, EVERYBODY, 1, Chunk(7))
            ends.append(fed.server["ctx"])
        moved[strategy] = float((ends[0] - ends[1]).norm())
    assert max(moved["median"], moved["krum"]) < moved["mean"] / 10


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"malicious": 0.4}, "Krum needs 2 f \\+ 3 clients a round and has 7, f being 3"),
        ({"keep": 7, "allowed": 1}, "krum.keep is 7, of 7 clients with 1 attackers"),
    ],
)
def test_krum_says_what_it_needs(federation: Make, settings: dict[str, float], why: str) -> None:
    _, method = ready(federation, "krum", **settings)
    with pytest.raises(AssertionError, match=why):
        assert method.unfit() is None, method.unfit()


@pytest.mark.parametrize(
    ("share", "clients", "f"), [(0.07, 100, 7), (0.28, 25, 7), (0.3, 10, 3), (0.31, 10, 4)]
)
def test_krum_allows_for_the_share_of_attackers_rounded_up(
    federation: Make, share: float, clients: int, f: int
) -> None:
    """0.07 * 100 is more than 7 in floating point."""
    _, method = ready(federation, "krum", malicious=share)
    assert method.allowed(clients) == f  # type: ignore[attr-defined]


def test_multi_krum_is_the_mean_of_the_nearest(federation: Make) -> None:
    one, many = (ready(federation, "krum", keep=keep)[0].method for keep in (1, 7))
    sent = {"ctx": torch.randn(7, 4, 32, generator=torch.Generator().manual_seed(0))}
    fed, _ = ready(federation, "krum")
    r = fed.round_of(torch.arange(7), 1)
    torch.testing.assert_close(many.rule(sent, r)["ctx"], sent["ctx"].mean(0))  # type: ignore[attr-defined]
    assert any(torch.equal(one.rule(sent, r)["ctx"], each) for each in sent["ctx"])  # type: ignore[attr-defined]


def test_the_median_of_an_even_number_is_between_the_middle_two(federation: Make) -> None:
    fed, way = ready(federation, "median")
    sent = {"w": torch.tensor([[1.0], [2.0], [4.0], [9.0]])}
    assert way.rule(sent, fed.round_of(torch.arange(3), 1))["w"].item() == 3.0

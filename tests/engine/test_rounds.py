"""Rounds: sampling, chunks, aggregation, traffic, divergence; with every method there is."""

from __future__ import annotations

import pytest
import torch
from small_federation import Make, images

from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import evaluate, not_applicable
from fplbench.engine.federation import Federation
from fplbench.engine.fit import run_round, sample_clients
from fplbench.errors import Diverged
from fplbench.method import Method
from fplbench.plugins import registry
from fplbench.spec import Training

FOUND = registry.methods().classes
TRAINING = Training(rounds=2, local_epochs=1, batch_size=4, lr=0.05)


def method(name: str) -> Method:
    cls = FOUND[name]
    fields = {"n_ctx": 3} if "n_ctx" in cls.Config.model_fields else {}
    return cls(cls.Config(**fields))


def state(federation: Federation) -> dict[str, torch.Tensor]:
    return {f"server.{k}": v for k, v in federation.server.items()} | federation.private


EVERYONE = torch.arange(100)
TRAINED = [name for name in FOUND if name not in ("zeroshot", "tipadapter")]


@pytest.mark.parametrize("name", TRAINED)
def test_chunks_change_nothing(federation: Make, name: str) -> None:
    whole, cut = federation(method(name)), federation(method(name))
    for index in (1, 2):
        run_round(whole, TRAINING, index, chunk=Chunk(3))
        run_round(cut, TRAINING, index, chunk=Chunk(1))
    for key, value in state(whole).items():
        # Rounding, grown over two rounds of steps.
        close = 1e-4 * float(value.double().abs().max())
        torch.testing.assert_close(state(cut)[key], value, rtol=0, atol=close)
    test = images(12, seed=2)
    ours, theirs = evaluate(whole, test, 2, chunk=Chunk(3)), evaluate(cut, test, 2, chunk=Chunk(2))
    assert set(ours) == set(theirs)
    for metric in ours:
        assert ours[metric] == pytest.approx(theirs[metric])


@pytest.mark.parametrize("name", TRAINED)
def test_the_same_seed_gives_the_same_bits(federation: Make, name: str) -> None:
    one, two = federation(method(name)), federation(method(name))
    for each in (one, two):
        run_round(each, TRAINING, 1, chunk=Chunk(2))
    assert all(torch.equal(state(two)[key], value) for key, value in state(one).items())


@pytest.mark.parametrize("name", TRAINED)
def test_a_client_never_sees_anothers_images(federation: Make, name: str) -> None:
    """Another client's images change nothing but what the server averages."""
    plain, other = federation(method(name)), federation(method(name))
    assert other.images.pooled is not None
    assert other.images.patches is not None
    last = other.scenario.train_rows[2]
    other.images.pooled[last] = other.images.pooled[last].flip(0)
    other.images.patches[last] = other.images.patches[last].flip(0)
    for each in (plain, other):
        run_round(each, TRAINING, 1, chunk=Chunk(3))
    for key, value in plain.private.items():
        assert torch.equal(other.private[key][:2], value[:2]), key


def test_momentum_is_fresh_in_every_round(federation: Make) -> None:
    """Two rounds of one client are two runs of torch's SGD, each with a new optimizer."""
    fed = federation(method("coop"), sizes=(4,))
    start = fed.private["ctx"][0].clone()
    data = fed.local_data([0])
    expected = start
    for index in (1, 2):
        p = expected.clone().requires_grad_()
        theirs = torch.optim.SGD([p], lr=0.05, momentum=0.9, weight_decay=5e-4)
        for _ in range(3):
            theirs.zero_grad()
            loss = fed.method.losses({"ctx": p[None]}, data.everything(), fed.task)["ce"].sum()
            loss.backward()
            theirs.step()
        expected = p.detach()
        run_round(fed, TRAINING.model_copy(update={"local_epochs": 3}), index, chunk=Chunk(1))
    torch.testing.assert_close(fed.private["ctx"][0], expected, rtol=1e-5, atol=1e-6)


def test_the_server_weighs_clients_by_their_images(federation: Make) -> None:
    fed = federation(method("promptfl"))
    start = fed.server["ctx"].clone()
    alone = []
    for client in range(3):
        one = federation(method("coop"))
        assert torch.equal(one.private["ctx"][client], start)
        run_round(one, TRAINING, 1, chunk=Chunk(3))
        alone.append(one.private["ctx"][client])
    run_round(fed, TRAINING, 1, chunk=Chunk(3))
    mean = sum(size / 26 * ctx for size, ctx in zip((9, 5, 12), alone, strict=True))
    torch.testing.assert_close(fed.server["ctx"], mean, rtol=1e-5, atol=1e-6)


def test_a_round_touches_only_those_who_take_part(federation: Make) -> None:
    fed = federation(method("fedpgp"))
    before = {name: t.clone() for name, t in fed.private.items()}
    training = TRAINING.model_copy(update={"participation": 0.34})
    log = run_round(fed, training, 1, chunk=Chunk(3))
    assert len(log.clients) == 1
    rest = [c for c in range(3) if c not in log.clients]
    for name, t in fed.private.items():
        assert torch.equal(t[rest], before[name][rest])
        assert not torch.equal(t[log.clients[0]], before[name][log.clients[0]])
    assert fed.times.tolist() == [int(c in log.clients) for c in range(3)]


def test_sampling_is_the_same_for_all_methods_and_differs_by_round() -> None:
    drawn = [tuple(sample_clients(EVERYONE, 0.1, 0, index).tolist()) for index in range(5)]
    assert drawn == [tuple(sample_clients(EVERYONE, 0.1, 0, index).tolist()) for index in range(5)]
    assert len(set(drawn)) == 5
    assert all(len(set(each)) == 10 for each in drawn)
    assert len(sample_clients(EVERYONE, 0.001, 0, 1)) == 1


@pytest.mark.parametrize(
    ("clients", "participation", "taking_part"),
    [(30, 0.25, 7), (10, 0.25, 2), (10, 0.35, 3), (100, 0.29, 29), (10, 0.1, 1), (7, 1.0, 7)],
)
def test_a_share_of_the_clients_is_rounded_down(
    clients: int, participation: float, taking_part: int
) -> None:
    assert len(sample_clients(torch.arange(clients), participation, 0, 1)) == taking_part


def test_traffic_is_the_bytes_of_the_shared_tensors(federation: Make) -> None:
    fed = federation(method("fedpgp"))
    log = run_round(fed, TRAINING, 1, chunk=Chunk(2))
    one = fed.server["sigma"].numel() * 4
    assert (log.up_bytes, log.down_bytes) == (3 * one, 3 * one)
    silent = run_round(federation(method("coop")), TRAINING, 1, chunk=Chunk(3))
    assert (silent.up_bytes, silent.down_bytes) == (0, 0)


def test_a_loss_that_is_not_finite_names_round_and_client(federation: Make) -> None:
    fed = federation(method("promptfl"))
    assert fed.images.pooled is not None
    fed.images.pooled[fed.scenario.train_rows[1]] = float("nan")
    with pytest.raises(Diverged) as caught:
        run_round(fed, TRAINING, 4, chunk=Chunk(3))
    assert (caught.value.round_index, caught.value.client) == (4, 1)


def test_a_logit_that_is_not_finite_is_no_wrong_answer(federation: Make) -> None:
    fed = federation(method("promptfl"))
    test = images(12, seed=2)
    test.pooled[5] = float("inf")
    with pytest.raises(Diverged):
        evaluate(fed, test, 1, chunk=Chunk(3))


@pytest.mark.parametrize("name", list(FOUND))
def test_every_metric_is_either_measured_or_explained(federation: Make, name: str) -> None:
    fed = federation(method(name))
    measured = set(evaluate(fed, images(12, seed=2), 1, chunk=Chunk(3)))
    explained = set(not_applicable(fed))
    assert measured | explained == {"local", "global"}
    assert not measured & explained


def test_a_schedule_gives_each_round_its_rate() -> None:
    falling = {"rounds": 4, "lr": 0.2}
    rates = {
        schedule: [Training(**falling, lr_schedule=schedule).lr_of(index) for index in range(1, 6)]
        for schedule in ("constant", "linear", "cosine")
    }
    assert rates["constant"] == [0.2] * 5
    assert rates["linear"] == pytest.approx([0.2, 0.15, 0.1, 0.05, 0])
    half = 0.5**0.5  # cos(pi / 4)
    assert rates["cosine"] == pytest.approx([0.2, 0.1 + 0.1 * half, 0.1, 0.1 - 0.1 * half, 0])


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_round_is_trained_at_its_rate(federation: Make, schedule: str) -> None:
    falling, constant = federation(method("promptfl")), federation(method("promptfl"))
    training = TRAINING.model_copy(update={"lr_schedule": schedule})
    run_round(falling, training, 2, chunk=Chunk(3))
    same = TRAINING.model_copy(update={"lr": training.lr_of(2)})
    assert same.lr == TRAINING.lr / 2
    run_round(constant, same, 2, chunk=Chunk(3))
    assert all(torch.equal(state(constant)[key], t) for key, t in state(falling).items())

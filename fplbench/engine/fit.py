"""The loop over rounds: what happens from a method's first tensors to its accuracies.

A round: some clients receive what the server has, each trains on its own images
(train.py), and the server makes the next shared tensors of what they send. After some rounds
every client is tested with what it has then (evaluate.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fplbench import rng
from fplbench.engine import newcomers
from fplbench.engine.chunks import Chunk, in_chunks
from fplbench.engine.evaluate import ALONE, Accuracies, evaluate
from fplbench.engine.federation import Federation, Models
from fplbench.engine.predictions import Predictions
from fplbench.engine.train import by_falling_steps, train_locally
from fplbench.features.images import Images
from fplbench.method import Round, Tensors
from fplbench.plugins.measure import Measure
from fplbench.spec import Setup, Training


@dataclass(frozen=True)
class RoundLog:
    """What one round did. losses: each term's mean over the clients, weighted by their images."""

    index: int
    clients: tuple[int, ...]
    losses: dict[str, float]
    up_bytes: int
    down_bytes: int
    seconds: float


# Called after each round with its number, counted from 1; what training did, None where nothing
# is trained; and the accuracies, None in a round after which nobody is tested.
OnRound = Callable[[int, RoundLog | None, Accuracies | None], None]


def fit(
    federation: Federation,
    training: Training,
    test: Images,
    chunk: Chunk,
    on_round: OnRound,
    done: int = 0,
    accuracies: Accuracies | None = None,
    measures: Sequence[Measure] = ALONE,
    predictions: Predictions | None = None,
) -> Accuracies:
    """Train and test for `training.rounds` rounds; the accuracies after the last one.

    The federation changes in place. chunk: how many clients are computed together.
    done, accuracies: the rounds that the federation has behind it, and the last test in them.
    measures: of the answers in a test. predictions: takes the answers of the last one.
    Whoever keeps `Federation.state_dict()`, the round and the accuracies in `on_round` can go on
    from there with the bits of a run that was not interrupted: every random number is derived
    from the seed, its purpose, the client and the round.
    """
    evaluated = training.evaluated_rounds()
    for index in range(done + 1, training.rounds + 1):
        log = run_round(federation, training, index, chunk) if federation.trained else None
        keep = predictions if index == training.rounds else None
        # What is not trained does not change: one test is enough, but for its answers.
        if index in evaluated and (federation.trained or not accuracies or keep is not None):
            accuracies = evaluate(federation, test, index, chunk, training, measures, keep)
        on_round(index, log, accuracies if index in evaluated else None)
    return accuracies or {}


def run_round(federation: Federation, training: Training, index: int, chunk: Chunk) -> RoundLog:
    """Train the sampled clients, a chunk at a time, and aggregate."""
    started = time.perf_counter()
    sampled = sample_clients(federation.taking_part, training.participation, federation.seed, index)
    sampled = by_falling_steps(federation, sampled, training)
    parts: list[_Part] = []
    for attempt in in_chunks(sampled, chunk):
        with attempt:
            r = federation.round_of(attempt.clients, index)
            # No name for what this chunk holds on the device: the next one wants the room.
            parts.append(
                _sent(
                    federation,
                    r,
                    *train_locally(federation, training, r, training.local_epochs),
                )
            )
    everyone = federation.round_of(sampled, index)
    together = {name: torch.cat([p.sent[name] for p in parts]) for name in parts[0].sent}
    federation.aggregate(together, everyone)
    return RoundLog(
        index=index,
        clients=tuple(sampled.tolist()),
        losses=_mean_losses([p.terms for p in parts], everyone.sizes),
        up_bytes=sum(t.numel() * t.element_size() for t in together.values()),
        down_bytes=sum(p.received_bytes for p in parts),
        seconds=time.perf_counter() - started,
    )


def setup_of(seed: int, sizes: Sequence[int], training: Training) -> Setup:
    """What a strategy is told of a run. sizes: of all clients."""
    _, taking_part = newcomers.choose(len(sizes), training.new_clients, seed)
    rounds = torch.zeros(len(sizes), dtype=torch.long)
    at_once = 0
    for index in range(1, training.rounds + 1):
        sampled = sample_clients(taking_part, training.participation, seed, index)
        rounds[sampled] += 1
        at_once = len(sampled)
    of_each = (tuple(sizes), tuple(rounds.tolist()), tuple(taking_part.tolist()))
    return Setup(seed, *of_each, at_once, training)


def sample_clients(clients: Tensor, participation: float, seed: int, index: int) -> Tensor:
    """Those of the ids that take part in a round, the same for every method; at least one.

    Of 30 clients a quarter is 7, as published code counts: int(0.25 * 30).
    """
    # A product that should be whole, such as 0.29 * 100, may fall short of it in its last bits.
    count = max(1, math.floor(participation * len(clients) + 1e-9))
    order = torch.randperm(len(clients), generator=rng.generator(seed, "participation", index))
    return clients[order[:count]].sort().values


@dataclass(frozen=True)
class _Part:
    """What a chunk's clients bring back. sent, terms: each [C, ...], on the host."""

    sent: Tensors
    terms: Tensors
    received_bytes: int


def _sent(federation: Federation, r: Round, models: Models, terms: Tensors) -> _Part:
    """Clients keep what is theirs, and send what the method says."""
    with torch.no_grad():
        models.params.update(federation.method.end_round(models.params, r))
        sent = federation.method.upload(models.params, r)
    part = _Part(
        sent={name: t.detach().to("cpu") for name, t in sent.items()},
        terms={name: t.to("cpu") for name, t in terms.items()},
        received_bytes=models.received_bytes,
    )
    # Last: where memory runs short before, the same clients are trained again from their start.
    federation.keep(r.clients, models.params)
    return part


def _mean_losses(parts: list[Tensors], sizes: Tensor) -> dict[str, float]:
    weights = sizes.double() / sizes.sum()
    return {
        name: float((torch.cat([p[name] for p in parts]).double() * weights).sum())
        for name in parts[0]
    }

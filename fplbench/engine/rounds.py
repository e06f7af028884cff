"""Rounds: who takes part, what travels, what the server makes of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from fplbench import rng
from fplbench.engine.chunks import Chunk, in_chunks
from fplbench.engine.federation import Federation, Models
from fplbench.engine.train import SGD, Draws, draw_steps, number_of_steps, train_clients
from fplbench.errors import Diverged
from fplbench.method import Round, Tensors
from fplbench.spec import Training


@dataclass(frozen=True)
class RoundLog:
    """What one round did. losses: each term's mean over the clients, weighted by their images."""

    index: int
    clients: tuple[int, ...]
    losses: dict[str, float]
    up_bytes: int
    down_bytes: int
    seconds: float


def sample_clients(clients: int, participation: float, seed: int, index: int) -> Tensor:
    """The ids taking part in a round, the same for every method; at least one.

    Of 30 clients a quarter is 7, as published code counts: int(0.25 * 30).
    """
    # A product that should be whole, such as 0.29 * 100, may fall short of it in its last bits.
    count = max(1, math.floor(participation * clients + 1e-9))
    order = torch.randperm(clients, generator=rng.generator(seed, "participation", index))
    return order[:count].sort().values


def run_round(federation: Federation, training: Training, index: int, chunk: Chunk) -> RoundLog:
    """Train the sampled clients, a chunk at a time, and aggregate."""
    started = time.perf_counter()
    sampled = sample_clients(federation.clients, training.participation, federation.seed, index)
    sampled = by_falling_steps(federation, sampled, training)

    def train(part: Tensor) -> _Trained:
        return _train_chunk(federation, training, federation.round_of(part, index))

    parts = in_chunks(sampled, chunk, train)
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


def by_falling_steps(federation: Federation, clients: Tensor, training: Training) -> Tensor:
    """Clients with more steps first, so that those who are done leave the batch from its end."""
    steps = torch.tensor(
        [
            number_of_steps(size, training.batch_size, training.local_epochs)
            for size in federation.sizes[clients].tolist()
        ]
    )
    return clients[torch.argsort(steps, descending=True, stable=True)]


@dataclass(frozen=True)
class _Trained:
    """What a chunk's clients bring back. sent, terms: each [C, ...], on the host."""

    sent: Tensors
    terms: Tensors
    received_bytes: int


def _train_chunk(federation: Federation, training: Training, r: Round) -> _Trained:
    models, terms = train_locally(federation, training, r, training.local_epochs)
    with torch.no_grad():
        models.params.update(federation.method.end_round(models.params, r))
    federation.keep(r.clients, models.params)
    with torch.no_grad():
        sent = federation.method.upload(models.params, r)
    return _Trained(
        sent={name: t.detach().to("cpu") for name, t in sent.items()},
        terms={name: t.to("cpu") for name, t in terms.items()},
        received_bytes=models.received_bytes,
    )


def train_locally(
    federation: Federation, training: Training, r: Round, epochs: int
) -> tuple[Models, Tensors]:
    """The models of r's clients after so many local epochs, and their loss terms, each [C].

    r.clients must come by falling number of steps.
    """
    ids = r.clients.tolist()
    first = (r.index - 1) * training.local_epochs  # rounds are counted from 1
    data = federation.local_data(ids, range(first, first + epochs))
    models = federation.models(r, data)
    steps = draw_steps(
        r.sizes.tolist(), ids, training.batch_size, epochs, federation.seed, r.index
    ).to(federation.device)
    optimizer = SGD.of(
        federation.specs, training.lr_of(r.index), training.momentum, training.weight_decay
    )
    terms = train_clients(
        federation.method,
        models.params,
        federation.trained,
        data,
        steps,
        models.fixed,
        federation.task,
        optimizer,
        Draws(r.clients, federation.generator_of(r.index)),
    )
    refuse_infinite(models.params, terms, r)
    return models, terms


def refuse_infinite(params: Tensors, terms: Tensors, r: Round) -> None:
    """Raise Diverged, naming the first client whose loss or tensors are not finite."""
    for what, tensors in (("the loss", terms), ("the prompt", params)):
        for name, t in tensors.items():
            finite = t.flatten(1).isfinite().all(1) if t.dim() > 1 else t.isfinite()
            if not bool(finite.all()):
                worst = int(r.clients[int((~finite).int().argmax())])
                raise Diverged(r.index, worst, f"{what} ({name})")


def _mean_losses(parts: list[Tensors], sizes: Tensor) -> dict[str, float]:
    weights = sizes.double() / sizes.sum()
    return {
        name: float((torch.cat([p[name] for p in parts]).double() * weights).sum())
        for name in parts[0]
    }

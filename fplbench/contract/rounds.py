"""Trials of a method in rounds of the engine: four clients, of whom three are sampled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from fplbench.contract.room import TRAINING, Candidate, exam_images, federation
from fplbench.contract.verdict import PRECISION, Failed, compare
from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import Accuracies, evaluate
from fplbench.engine.federation import Federation
from fplbench.engine.fit import run_round
from fplbench.method import Method, Round, Tensors

NOTHING = "nothing is trained"


@dataclass(frozen=True)
class Course:
    """Two rounds of a federation.

    states: server and private tensors at the start and after each round. clients: who took part
    in each. sent: what the first round's clients sent, each [C, ...]; weights: what each counts
    for, [C].
    federation: as it is in the end.
    """

    states: tuple[Tensors, ...]
    clients: tuple[tuple[int, ...], ...]
    sent: Tensors
    weights: torch.Tensor
    federation: Federation


@lru_cache(maxsize=8)
def course(candidate: Candidate, at_once: int, evaluated: bool = False) -> Course:
    """at_once: clients of a chunk. evaluated: whether there is an evaluation after each round."""
    method = candidate.make()
    fed = federation(method)
    sent: list[tuple[Tensors, torch.Tensor]] = []

    def aggregate(server: Tensors, uploads: Tensors, r: Round) -> Tensors:
        sent.append((uploads, method.weights(r)))
        return type(method).aggregate(method, server, uploads, r)

    method.aggregate = aggregate  # type: ignore[method-assign]
    states, clients = [_state(fed)], []
    for index in range(1, TRAINING.rounds + 1):
        clients.append(run_round(fed, TRAINING, index, Chunk(at_once)).clients)
        if evaluated:
            _grade(fed, index)
        states.append(_state(fed))
    uploads, weights = sent[0] if sent else ({}, torch.ones(0))
    return Course(tuple(states), tuple(clients), uploads, weights, fed)


def _state(fed: Federation) -> Tensors:
    found = {f"server's {name!r}": t.clone() for name, t in fed.server.items()}
    return found | {f"private {name!r}": t.clone() for name, t in fed.private.items()}


def _grade(fed: Federation, index: int) -> Accuracies:
    return evaluate(fed, exam_images(fed.method), index, Chunk(fed.clients), TRAINING)


def chunks(candidate: Candidate) -> str | None:
    """Rounds with all clients at once, and with one at a time."""
    if not candidate.trained():
        return NOTHING
    together, apart = (course(candidate, at_once).states[-1] for at_once in (4, 1))
    compare(
        together,
        apart,
        PRECISION,
        "after two rounds the {what} is {far} of its size from what it is when clients are "
        "computed one at a time: a hook mixes clients, or takes row c for client c.",
    )
    return None


def average(candidate: Candidate) -> str | None:
    """The server's tensors against the mean of what was sent; private ones have moved."""
    if not candidate.trained():
        return NOTHING
    if candidate.overrides("upload", "aggregate"):
        return "it sends or aggregates in a way of its own"
    run = course(candidate, 4)
    means = {
        f"server's {name!r}": torch.einsum("c,c...->...", run.weights, t.double()).to(t.dtype)
        for name, t in run.sent.items()
    }
    after = run.states[1]
    held = {name: t for name, t in after.items() if name.startswith("server")}
    compare(held, means, PRECISION, "the {what} is not the mean of what the clients sent.")
    for name, before in run.states[0].items():
        if after[name].dtype != before.dtype:
            raise Failed(f"the {name} was {before.dtype} and is {after[name].dtype} after a round.")
    for name in run.federation.private:
        kept, start = after[f"private {name!r}"], run.states[0][f"private {name!r}"]
        clients = list(run.clients[0])
        if run.federation.specs[name].trained and torch.equal(kept[clients], start[clients]):
            raise Failed(f"{name!r} is trained and private, but no round moves it.")
    return None


def absent(candidate: Candidate) -> str | None:
    """The client that the first round leaves out."""
    if not candidate.trained():
        return NOTHING
    run = course(candidate, 4)
    fed = run.federation
    out = [c for c in range(fed.clients) if c not in run.clients[0]]
    for name in fed.private:
        before, after = (run.states[i][f"private {name!r}"][out] for i in (0, 1))
        compare(
            {name: after},
            {name: before},
            0,
            "the private {what} of a client changes in a round that it takes no part in.",
        )
    if candidate.overrides("download", "merge"):
        return None
    models = fed.models(fed.round_of(torch.tensor(out), TRAINING.rounds + 1), None)
    wanted = {
        name: fed.server[name].expand(len(out), *fed.server[name].shape) for name in fed.shared
    }
    found = {name: models.params[name] for name in fed.shared}
    compare(found, wanted, 0, "a client that was left out does not start from the server's {what}.")
    return None


def evaluation(candidate: Candidate) -> None:
    """Rounds with and without evaluations between them, and an evaluation made twice."""
    method: Method = candidate.make()
    fed = federation(method)
    if candidate.trained():
        plain, graded = course(candidate, 4), course(candidate, 4, evaluated=True)
        compare(
            graded.states[-1],
            plain.states[-1],
            0,
            "the {what} is another when there was an evaluation between the rounds.",
        )
        fed = graded.federation
    before = _state(fed)
    first, second = _grade(fed, 3), _grade(fed, 3)
    compare(_state(fed), before, 0, "an evaluation changes the {what}.")
    for name, accuracy in first.items():
        if not np.array_equal(accuracy, second[name], equal_nan=True):
            raise Failed(f"the same evaluation twice gives another {name!r}.")

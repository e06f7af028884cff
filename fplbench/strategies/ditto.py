"""Ditto (Li et al., ICML 2021): a personal model beside FedAvg's, held near it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
from pydantic import Field

from fplbench.method import Batch, Param, Task, Tensors
from fplbench.strategies.fedavg import FedAvg
from fplbench.strategy import squared_distance

GLOBAL, RECEIVED, TERM = "global.", "received.", "global "


class Ditto(FedAvg):
    """global    w_c <- SGD of F_c(w) from the received w_t, averaged by the server     (FedAvg)
    personal  v_c <- SGD of F_c(v) + (lambda / 2) ||v - w_t||^2                    (algorithm 1)

    Both take the same batches, as many steps each. Tested is v_c, which never leaves its client;
    w is the shared prompt. What the method keeps private is there twice, in w and in v.
    """

    name = "ditto"
    title = "Ditto"
    source = (
        "Li et al., Ditto: Fair and Robust Federated Learning Through Personalization, ICML 2021"
    )

    class Config(FedAvg.Config):
        lam: float = Field(
            1.0,
            ge=0,
            description="lambda, how strongly v is held near w: 0 is local training. 1: ours; the "
            "paper tunes it for each data set.",
        )

    config: Config

    @property
    def apart(self) -> bool:
        return self.learner.apart

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        specs = super().init(task, generator)
        personal = {name: replace(spec, shared=False) for name, spec in specs.items()}
        return personal | {f"{GLOBAL}{name}": spec for name, spec in specs.items()}

    def prepare(self, params: Tensors, received: Tensors, task: Task) -> Tensors:
        personal, whole = _parted(params)
        _, sent = _parted(received)
        of_whole = self.learner.prepare(whole, sent, task)
        return (
            self.learner.prepare(personal, sent, task)
            | {f"{GLOBAL}{name}": t for name, t in of_whole.items()}
            | {f"{RECEIVED}{name}": t for name, t in sent.items()}
        )

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        personal, whole = _parted(params)
        start = {
            name.removeprefix(RECEIVED): t
            for name, t in batch.fixed.items()
            if name.startswith(RECEIVED)
        }
        terms = self.learner.losses(personal, batch, task)
        distance = squared_distance(personal, {n: t for n, t in start.items() if n in personal})
        of_whole = self.learner.losses(whole, _for_the_global(batch), task)
        return (
            terms
            | {"ditto": self.config.lam / 2 * distance}
            | {f"{TERM}{name}": term for name, term in of_whole.items()}
        )

    def gradients(self, by_term: dict[str, Tensors], params: Tensors, batch: Batch) -> Tensors:
        """The learner's way with each model's terms; what holds v near w is added."""
        personal, whole = _parted(params)
        own: dict[str, Tensors] = {}
        of_whole: dict[str, Tensors] = {}
        held: Tensors = {}
        for term, grads in by_term.items():
            mine, theirs = _parted(grads)
            if term.startswith(TERM):
                of_whole[term.removeprefix(TERM)] = theirs
            elif term == "ditto":
                held = mine
            else:
                own[term] = mine
        first = self.learner.gradients(own, personal, batch)
        second = self.learner.gradients(of_whole, whole, _for_the_global(batch))
        return {n: g + held[n] for n, g in first.items()} | {
            f"{GLOBAL}{n}": g for n, g in second.items()
        }

    def after_step(self, params: Tensors, grads: Tensors, batch: Batch) -> Tensors:
        (personal, whole), (own, theirs) = _parted(params), _parted(grads)
        of_whole = self.learner.after_step(whole, theirs, _for_the_global(batch))
        return self.learner.after_step(personal, own, batch) | {
            f"{GLOBAL}{n}": t for n, t in of_whole.items()
        }

    def alone(self, params: Tensors, shared: Collection[str]) -> Tensors | None:
        """w, as FedAvg's."""
        _, whole = _parted(params)
        names = {name.removeprefix(GLOBAL) for name in shared}
        return super().alone(whole, names)


def _parted(tensors: Tensors) -> tuple[Tensors, Tensors]:
    """The personal model's and the global one's, each under the learner's names."""
    theirs = {n.removeprefix(GLOBAL): t for n, t in tensors.items() if n.startswith(GLOBAL)}
    return {n: t for n, t in tensors.items() if not n.startswith(GLOBAL)}, theirs


def _for_the_global(batch: Batch) -> Batch:
    """The batch with what was prepared for the global model in place of the personal one's."""
    theirs = _parted(batch.fixed)[1]
    return replace(batch, fixed=batch.fixed | theirs)

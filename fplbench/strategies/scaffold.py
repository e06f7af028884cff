"""SCAFFOLD (Karimireddy et al., ICML 2020): local steps are corrected by control variates."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

import torch
from torch import Tensor

from fplbench.method import Batch, Param, Round, Task, Tensors, mean_of
from fplbench.strategies import _weights
from fplbench.strategy import Strategy

SERVERS, OWN, BEFORE = "control.", "own_control.", "own_control_before."


class Scaffold(Strategy):
    """Algorithm 1, lines 10, 12 (option II), 16 and 17:

    local step         y <- y - lr (g_i(y) - c_i + c)
    after K of them    c_i+ = (1/K) sum_k g_i(y_k)
    server             x <- x + mean_S (y_i - x),   c <- c + (1/N) sum_S (c_i+ - c_i)

    Option II is written c_i - c + (x - y_i) / (K lr) in the paper, which is this mean where a step
    is plain SGD. With momentum and weight decay, which all methods here share, only the mean of
    the gradients still is what the paper means by it. S: the round's clients, N: all that train.
    """

    name = "scaffold"
    title = "SCAFFOLD"
    source = (
        "Karimireddy et al., SCAFFOLD: Stochastic Controlled Averaging for Federated Learning, "
        "ICML 2020"
    )
    variants: ClassVar = {"images": {"weights": "images"}}

    class Config(_weights.WeightedAlike):
        pass

    config: Config

    @property
    def apart(self) -> bool:
        return True

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        specs = super().init(task, generator)
        controls = {
            f"{kind}{name}": Param(torch.zeros_like(spec.value), trained=False, shared=False)
            for kind in (OWN, BEFORE)
            for name, spec in specs.items()
            if spec.shared and spec.trained
        }
        return specs | controls

    def begin(self, specs: Mapping[str, Param], total: int) -> Tensors:
        owned = [name.removeprefix(OWN) for name in specs if name.startswith(OWN)]
        zeros = {f"{SERVERS}{name}": torch.zeros_like(specs[name].value) for name in owned}
        return super().begin(specs, total) | zeros

    def merge(self, params: Tensors, received: Tensors) -> Tensors:
        """The server's c lies beside the client's tensors, and c_i is kept as it was."""
        before = {
            name.replace(OWN, BEFORE, 1): t for name, t in params.items() if name.startswith(OWN)
        }
        return params | received | before

    def gradients(self, by_term: dict[str, Tensors], params: Tensors, batch: Batch) -> Tensors:
        found = super().gradients(by_term, params, batch)
        return {
            name: g - params[f"{BEFORE}{name}"] + params[f"{SERVERS}{name}"]
            if f"{BEFORE}{name}" in params
            else g
            for name, g in found.items()
        }

    def after_step(self, params: Tensors, grads: Tensors, batch: Batch) -> Tensors:
        """c_i, the mean of the gradients so far."""
        found = {}
        for name, g in grads.items():
            if f"{BEFORE}{name}" in params:
                plain = g + params[f"{BEFORE}{name}"] - params[f"{SERVERS}{name}"]
                mean = params[f"{OWN}{name}"] if batch.step else plain
                found[f"{OWN}{name}"] = mean + (plain - mean) / (batch.step + 1)
        return found | super().after_step(params, grads, batch)

    def upload(self, params: Tensors, r: Round) -> Tensors:
        """The shared tensors, and by how much c_i changed."""
        changes = {
            name.replace(OWN, SERVERS, 1): t - params[name.replace(OWN, BEFORE, 1)]
            for name, t in params.items()
            if name.startswith(OWN)
        }
        return super().upload(params, r) | changes

    def weights(self, r: Round) -> Tensor:
        return _weights.chosen(self.config.weights, r)

    def aggregate(self, server: Tensors, uploads: Tensors, r: Round) -> Tensors:
        changes = {name: t for name, t in uploads.items() if name.startswith(SERVERS)}
        sent = {name: t for name, t in uploads.items() if name not in changes}
        # The paper's N: new clients never have a c_i.
        count = len(self.setup.clients) if self.setup else r.total
        controls = {
            name: server[name] + (t.double().sum(0) / count).to(t.dtype)
            for name, t in changes.items()
        }
        return mean_of(sent, self.weights(r)) | controls

    def alone(self, params: Tensors, shared: Collection[str]) -> Tensors | None:
        """The learner's; control variates are no part of a model."""
        model = {n: t for n, t in params.items() if not n.startswith((OWN, BEFORE))}
        return super().alone(model, shared)

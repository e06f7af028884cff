"""Mine (authors, venue, year): one sentence."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors
from fplbench.prompts import ContextSettings, cosine_logits, start_context, text_features


class Mine(Method):
    """One context for all clients, held short.

    p(y = k | x) = softmax_k(scale * cos(f(x), g([ctx][CLASS_k])))          (equation of the paper)
    L = L_ce + weight ||ctx||^2
    """

    name = "mine"
    title = "Mine"
    source = "Authors, Title, Venue Year"

    class Config(ContextSettings):
        weight: float = Field(0.01, ge=0, description="Of ||ctx||^2. Where the number is from.")

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        """One client's tensors, without the client axis; shared ones travel."""
        return {"ctx": Param(start_context(self.config, task, generator))}  # [n, d]

    def encode(self, params: Tensors, task: Task) -> Tensors:
        """What no image changes; params have the client axis: ctx [C, n, d]."""
        return {"t": text_features(params["ctx"], task, self.config.position)}  # [C, K, D]

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, text["t"], task)  # [C, B, D] to [C, B, K]

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        """The terms of the loss, each [C]: row c must depend on client c alone."""
        terms = super().losses(params, batch, task)  # cross-entropy
        terms["length"] = self.config.weight * params["ctx"].flatten(1).square().sum(1)
        return terms

    def shared_only(self, params: Tensors) -> Tensors | None:
        """The model without anything private; None if there is none."""
        return params

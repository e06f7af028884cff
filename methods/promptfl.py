"""PromptFL (Guo et al., IEEE TMC 2024): CoOp's context, averaged over the clients.

With prox_mu > 0 each client's loss has FedProx's term (Li et al., MLSys 2020).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors
from fplbench.prompts import (
    ClassContextSettings,
    cosine_logits,
    start_class_context,
    text_features,
)


class PromptFL(Method):
    """One context for all; the server takes the mean weighted by numbers of images.

    p(y = k | x) = softmax_k(scale * cos(f(x), g([ctx][CLASS_k])))
    ctx <- sum_c (n_c / n) ctx_c                              (FedAvg; Method.aggregate)
    """

    name = "promptfl"
    title = "PromptFL"
    source = (
        "Guo et al., PromptFL: Let Federated Participants Cooperatively Learn Prompts Instead of "
        "Models, IEEE Transactions on Mobile Computing 2024"
    )
    variants: ClassVar = {
        "csc": {"csc": True},
        "prox": {"prox_mu": 0.3},
        "words": {"ctx_init": "a photo of a"},
    }

    class Config(ClassContextSettings):
        prox_mu: float = Field(
            0.0,
            ge=0,
            description="FedProx: weight mu of (mu / 2) ||ctx - received ctx||^2. 0: PromptFL "
            "without it, the published default. (The published code's term has no gradient.)",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        return {"ctx": Param(start_class_context(self.config, task, generator))}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        return {"t": text_features(params["ctx"], task, self.config.position)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, text["t"], task)

    def prepare(self, params: Tensors, received: Tensors, task: Task) -> Tensors:
        return {"received": received["ctx"]} if self.config.prox_mu else {}

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        terms = super().losses(params, batch, task)
        if self.config.prox_mu:  # FedProx, equation 2
            distance = (params["ctx"] - batch.fixed["received"]).flatten(1).square().sum(1)
            terms["prox"] = self.config.prox_mu / 2 * distance
        return terms

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params

    def supports(self, task: Task, metric: str, trained: Task) -> bool:
        """Class-specific contexts exist for the trained class list alone."""
        return not self.config.csc or task.classnames == trained.classnames

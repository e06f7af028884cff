"""PromptFolio (Pan et al., NeurIPS 2024): a portfolio of a shared and a private prompt.

Equations as in the paper, "Federated Learning from Vision-Language Foundation Models: Theoretical
Analysis and Method"; details after the authors' code, PanBikang/PromptFolio at 8f729aa.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Round, Task, Tensors
from fplbench.prompts import ContextSettings, cosine_logits, start_context, text_features


class PromptFolio(Method):
    """t_k = (1 - theta) g([ctx_shared][CLASS_k]) + theta g([ctx_private][CLASS_k])

    Both text features have unit length, the mix has not. logits = scale * <f(x), t_k>.
    ctx_shared <- sum_c (n_c / n) ctx_shared_c;   both prompts are trained by cross-entropy.
    """

    name = "promptfolio"
    title = "PromptFolio"
    source = (
        "Pan et al., Federated Learning from Vision-Language Foundation Models: Theoretical "
        "Analysis and Method, NeurIPS 2024"
    )
    variants: ClassVar = {"published_order": {"published_order": True}}

    class Config(ContextSettings):
        theta: float = Field(
            0.4,
            ge=0,
            le=1,
            description="Share of the private prompt. 0.4: federated_main.py:399 of the authors' "
            "code.",
        )
        published_order: bool = Field(
            False,
            description="The published average looks for a prompt's weight at the client's id in a "
            "list by the order of the round, so a prompt weighs what another client has. True "
            "repeats that where the round's ids are 0 to C - 1; elsewhere the code ends in error.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        shared = start_context(self.config, task, generator)
        private = start_context(self.config, task, generator)
        return {"ctx_shared": Param(shared), "ctx_private": Param(private, shared=False)}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        shared, private = (
            text_features(params[name], task, self.config.position)
            for name in ("ctx_shared", "ctx_private")
        )
        return {"t": (1 - self.config.theta) * shared + self.config.theta * private}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, text["t"], task)

    def weights(self, r: Round) -> Tensor:
        weights = super().weights(r)
        if not self.config.published_order or int(r.clients.max()) >= len(r.clients):
            return weights
        # Prompt p of the list, whosever it is, weighs what client p has.
        return weights[torch.argsort(r.clients)]

    def shared_only(self, params: Tensors) -> Tensors | None:
        """The shared prompt in both places."""
        return params | {"ctx_private": params["ctx_shared"]}

"""FedPHA (Fang et al., ICML 2025): a private prompt, kept off the shared one's leading directions.

Equations as in the paper, "FedPHA: Federated Prompt Learning for Heterogeneous Client Adaptation";
details after the authors' code, CYFang6/FedPHA at 1ab33df.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors, cross_entropy
from fplbench.prompts import ContextSettings, cosine_logits, start_context, text_features


class FedPHA(Method):
    """p_G shared, p_L private; p_G = U S V', V_1 its first c = n (1 - ratio) right vectors

    projected   p_P = p_L (I - V_1 V_1')
    loss        CE(t_L) + CE(t_G) + mean (t_L - t_P)^2 + mean_k ReLU(alpha - ||t_L - t_G||)
    tested      t_L alone

    The gradient goes through the decomposition to p_G.
    """

    name = "fedpha"
    title = "FedPHA"
    source = (
        "Fang et al., FedPHA: Federated Prompt Learning for Heterogeneous Client Adaptation, "
        "ICML 2025"
    )
    variants: ClassVar = {"published": {"projector": "published", "least_removed": 0}}

    class Config(ContextSettings):
        alpha: float = Field(1.0, ge=0, description="Margin of the push. 1: federated_main.py:498.")
        ratio: float = Field(
            0.8,
            gt=0,
            le=1,
            description="Share of the right vectors that is left to the private prompt. 0.8: "
            "federated_main.py:499.",
        )
        least_removed: int = Field(
            1,
            ge=0,
            description="How many right vectors are taken out at least: int(n (1 - ratio)) is 0 "
            "for few. 0: as published, where nothing is projected then.",
        )
        pull: float = Field(
            1.0, ge=0, description="Weight of (t_L - t_P)^2. 1: fixed in GL_SVDMSE.py:350."
        )
        push: float = Field(
            1.0, ge=0, description="Weight of the margin. 1: fixed in GL_SVDMSE.py:350."
        )
        projector: str = Field(
            "null_space",
            pattern="null_space|published",
            description="null_space: I - V_1 V_1', as the paper says. published: V_2 V_2' of the "
            "last n - c right vectors, which also drops all that is orthogonal to p_G.",
        )

    config: Config

    def cut(self, n: int) -> int:
        """c, how many of n right vectors are taken out; in floating point, as published."""
        return max(self.config.least_removed, int(n * (1 - self.config.ratio)))

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        shared = start_context(self.config, task, generator)
        private = start_context(self.config, task, generator)
        return {"ctx_global": Param(shared), "ctx_local": Param(private, shared=False)}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        return {"t": text_features(params["ctx_local"], task, self.config.position)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, text["t"], task)

    def projected(self, local: Tensor, whole: Tensor) -> Tensor:
        """p_P, [C, n, d]."""
        _, _, right = torch.linalg.svd(whole, full_matrices=False)  # V', [C, n, d]
        cut = self.cut(whole.shape[1])
        if self.config.projector == "published":
            kept: Tensor = local @ right[:, cut:].mT @ right[:, cut:]
            return kept
        left: Tensor = local - local @ right[:, :cut].mT @ right[:, :cut]
        return left

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        config, local, whole = self.config, params["ctx_local"], params["ctx_global"]
        every = torch.stack([local, whole, self.projected(local, whole)], dim=1)
        text = F.normalize(task.encode_prompts(every, config.position), dim=-1)
        t_local, t_global, t_projected = text.unbind(1)
        of_local, of_global = (
            cross_entropy(cosine_logits(batch.pooled, t, task), batch) for t in (t_local, t_global)
        )
        near = (t_local - t_projected).square().mean((1, 2))
        apart = (t_local - t_global).norm(dim=-1)
        return {
            "ce": of_local,
            "ce_global": of_global,
            "pull": config.pull * near,
            "push": config.push * F.relu(config.alpha - apart).mean(1),
        }

    def shared_only(self, params: Tensors) -> Tensors | None:
        """p_G in the private prompt's place."""
        return params | {"ctx_local": params["ctx_global"]}

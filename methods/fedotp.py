"""FedOTP (Li et al., CVPR 2024): a shared and a private prompt, joined by optimal transport.

Equations as in the paper, "Global and Local Prompts Cooperation via Optimal Transport for
Federated Learning"; details after the authors' code, HongxiaLee/FedOTP at 9948611.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors
from fplbench.prompts import ContextSettings, start_context
from fplbench.transport import Rule, transported


class FedOTP(Method):
    """For an image with patches g_m and a class with prompts h_1 (shared), h_2 (private):

    cost         C = 1 - cos(g, h),   kernel = exp(-C / eps)
    transport    T = argmin <T, C> - eps * entropy(T), with marginals
                 COT:       T 1 <= 1/M,  T' 1 = gamma / 2     (unbalanced: gamma of the patches)
                 Sinkhorn:  T 1 = 1/M,   T' 1 = 1/2
    logit        scale * <T, cos(g, h)>,   T without gradient
    """

    name = "fedotp"
    title = "FedOTP"
    source = (
        "Li et al., Global and Local Prompts Cooperation via Optimal Transport for Federated "
        "Learning, CVPR 2024"
    )
    inputs = frozenset({"patches"})
    variants: ClassVar = {"sinkhorn": {"ot": "Sinkhorn"}, "small_eps": {"eps": 0.01}}

    class Config(ContextSettings):
        ot: Literal["COT", "Sinkhorn"] = Field(
            "COT", description="Solver. COT, the unbalanced one: the published default (--OT)."
        )
        top_percent: float = Field(
            0.8,
            gt=0,
            le=1,
            description="gamma, the mass that COT transports. 0.8: TOP_PERCENT in both published "
            "scripts; the argument's default is 1.",
        )
        eps: float = Field(
            0.1,
            ge=0.003,
            description="Weight of the entropy. 0.1: EPS in fedotp_cifar100.sh and the argument's "
            "default; fedotp_few_shot.sh has 0.01. Below 0.025 the plan takes float64, below 0.003 "
            "even that would not hold exp(-2 / eps).",
        )
        thresh: float = Field(
            1e-3,
            ge=0,
            description="Stop when the scaling vectors change by less than this on average. "
            "1e-3: THRESH in both scripts and the argument's default.",
        )
        max_iter: int = Field(
            100,
            ge=1,
            description="Iterations at most. 100: MAX_ITER in both scripts and the default.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        shared = start_context(self.config, task, generator)
        private = start_context(self.config, task, generator)
        return {"ctx_shared": Param(shared), "ctx_private": Param(private, shared=False)}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        ctx = torch.stack([params["ctx_shared"], params["ctx_private"]], dim=1)
        return {"h": F.normalize(task.encode_prompts(ctx, self.config.position), dim=-1)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        assert batch.patches is not None
        similarity = torch.einsum("cbmd,cnkd->cbmnk", batch.patches, text["h"])
        moved = transported(similarity, batch.mask, self.rule(), batch.training)
        return task.logit_scale * moved

    def rule(self) -> Rule:
        """The transport of the settings. Sinkhorn's moves all of the mass."""
        config, partial = self.config, self.config.ot == "COT"
        mass = config.top_percent if partial else 1
        return Rule(partial, mass, config.eps, config.thresh, config.max_iter)

    def shared_only(self, params: Tensors) -> Tensors | None:
        """The shared prompt in both places."""
        return params | {"ctx_private": params["ctx_shared"]}

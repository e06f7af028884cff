"""PLOT (Chen et al., ICLR 2023): several prompts, matched with an image's patches by transport.

Equations as in the paper, "PLOT: Prompt Learning with Optimal Transport for Vision-Language
Models"; details after the authors' code, CHENGY12/PLOT at 728539f, plot-coop.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors
from fplbench.prompts import ContextSettings, cosine_logits, start_context
from fplbench.transport import Rule, transported


class PLOT(Method):
    """For an image with patches g_m and a class with the prompts h_1 ... h_N (equations 4 to 8):

    cost         C = 1 - cos(g, h),   kernel = exp(-C / eps)
    transport    T = argmin <T, C> - eps entropy(T),   T 1 = 1/M,   T' 1 = 1/N      (Sinkhorn)
    logit        scale * <T, cos(g, h)>,   T without gradient
    """

    name = "plot"
    title = "PLOT"
    source = (
        "Chen et al., PLOT: Prompt Learning with Optimal Transport for Vision-Language Models, "
        "ICLR 2023"
    )
    variants: ClassVar = {"pooled": {"pooled": True}, "small_eps": {"eps": 0.02}}

    class Config(ContextSettings):
        prompts: int = Field(4, ge=1, description="N, prompts of a class. 4: the paper, train.py.")
        eps: float = Field(
            0.1, ge=0.003, description="Weight of the entropy. 0.1: trainers/plot.py:211."
        )
        thresh: float = Field(
            1e-2,
            ge=0,
            description="Stop when the scaling changes by less than this on average. 1e-2: "
            "trainers/plot.py:217.",
        )
        max_iter: int = Field(
            100, ge=1, description="Iterations at most. 100: the paper and trainers/plot.py:212."
        )
        pooled: bool = Field(
            False,
            description="Whether CoOp's logits, of the pooled feature and the prompts' mean, are "
            "added. False: the published code does so on ImageNet alone.",
        )

    config: Config

    @property
    def inputs(self) -> frozenset[str]:
        return frozenset({"patches"} | ({"pooled"} if self.config.pooled else set()))

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        drawn = [start_context(self.config, task, generator) for _ in range(self.config.prompts)]
        return {"ctx": Param(torch.stack(drawn))}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        found = task.encode_prompts(params["ctx"], self.config.position)  # [C, N, K, D]
        text = {"h": F.normalize(found, dim=-1)}
        if self.config.pooled:
            text["t"] = F.normalize(found.mean(1), dim=-1)
        return text

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        assert batch.patches is not None
        config = self.config
        similarity = torch.einsum("cbmd,cnkd->cbmnk", batch.patches, text["h"])
        rule = Rule(False, 1, config.eps, config.thresh, config.max_iter)
        logits = task.logit_scale * transported(similarity, batch.mask, rule, batch.training)
        return logits + cosine_logits(batch.pooled, text["t"], task) if config.pooled else logits

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params

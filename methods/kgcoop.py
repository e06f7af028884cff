"""KgCoOp (Yao et al., CVPR 2023): a prompt held near hand-written ones.

Equations as in the paper, "Visual-Language Prompt Tuning with Knowledge-guided Context
Optimization"; details after the authors' code, htyao89/KgCoOp at c43ccc3.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors, cross_entropy
from fplbench.prompts import ContextSettings, cosine_logits, start_context, text_features


class KgCoOp(Method):
    """L = L_ce + w L_kg,   L_kg = 1 - (1/K) sum_k cos(t_k, t_k^clip)

    t_k: text features of the learned prompt, t_k^clip: of the data set's hand-written ones. For
    unit vectors the paper's squared distance (equation 4) is twice 1 - cos, as which the
    published code writes it; w belongs to the latter.
    """

    name = "kgcoop"
    title = "KgCoOp"
    source = (
        "Yao et al., Visual-Language Prompt Tuning with Knowledge-guided Context Optimization, "
        "CVPR 2023"
    )
    variants: ClassVar = {"weak": {"w": 1.0}}

    class Config(ContextSettings):
        w: float = Field(
            8.0,
            ge=0,
            description="Weight of the distance. 8: the paper and scripts/run.sh; the argument's "
            "default is 1.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        return {"ctx": Param(start_context(self.config, task, generator))}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        return {"t": text_features(params["ctx"], task, self.config.position)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, text["t"], task)

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        text = self.encode(params, task)
        kg = 1 - F.cosine_similarity(text["t"], task.clip_text_features, dim=-1).mean(1)
        ce = cross_entropy(self.logits(params, text, batch, task), batch)
        return {"ce": ce, "kg": self.config.w * kg}

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params

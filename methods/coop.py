"""CoOp (Zhou et al., IJCV 2022) on each client alone: the local baseline, nothing is sent."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors
from fplbench.prompts import (
    ClassContextSettings,
    cosine_logits,
    start_class_context,
    text_features,
)


class CoOp(Method):
    """Context vectors before the class name, trained by cross-entropy.

    t_k = [V]_1 [V]_2 ... [V]_n [CLASS_k]                    (equation 2; middle: equation 3)
    p(y = k | x) = softmax_k(scale * cos(f(x), g(t_k)))      (equation 4)
    """

    name = "coop"
    title = "CoOp (local)"
    source = "Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022"
    variants: ClassVar = {"csc": {"csc": True}, "middle": {"position": "middle"}}

    class Config(ClassContextSettings):
        pass

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        return {"ctx": Param(start_class_context(self.config, task, generator), shared=False)}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        return {"t": text_features(params["ctx"], task, self.config.position)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, text["t"], task)

    def supports(self, task: Task, metric: str, trained: Task) -> bool:
        """Class-specific contexts exist for the trained class list alone."""
        return not self.config.csc or task.classnames == trained.classnames

"""Tip-Adapter (Zhang et al., ECCV 2022) on each client: a cache of its own images, no training."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Settings, Task, Tensors
from fplbench.prompts import cosine_logits


class TipAdapter(Method):
    """logits = s v W_c' + alpha sum_i exp(-beta (1 - v . v_i)) onehot(label_i)  (equations 3, 4)

    v_i: the features of the client's training images; W_c: CLIP's text features of the data set's
    templates. Nothing is trained and nothing is sent.
    """

    name = "tipadapter"
    title = "Tip-Adapter (local)"
    source = (
        "Zhang et al., Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification, "
        "ECCV 2022"
    )
    variants: ClassVar = {"sharp": {"beta": 20.0}}

    class Config(Settings):
        alpha: float = Field(
            1.0, ge=0, description="Weight of the cache. 1: the paper, section 4.1; 0: zero-shot."
        )
        beta: float = Field(
            5.5, gt=0, description="Sharpness of the affinity. 5.5: the paper, section 4.1."
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        return {}

    def memory(self, task: Task, batch: Batch) -> Tensors:
        """Keys [C, S, D] and the places of their labels in the class list [C, S], -1 for none."""
        assert batch.labels is not None
        return {"keys": batch.pooled, "labels": batch.labels.masked_fill(~batch.mask, -1)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        logits = cosine_logits(batch.pooled, task.clip_text_features, task)
        if not batch.fixed:
            return logits
        affinity = torch.exp(-self.config.beta * (1 - batch.pooled @ batch.fixed["keys"].mT))
        values = batch.asked(batch.fixed["labels"], task)
        return logits + self.config.alpha * affinity @ values.to(affinity.dtype)

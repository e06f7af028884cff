"""Zero-shot CLIP (Radford et al., ICML 2021, section 3.1): hand-written templates, no training."""

from __future__ import annotations

import torch
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors
from fplbench.prompts import cosine_logits


class ZeroShot(Method):
    """The class list through the data set's own templates; nothing is learned or sent."""

    name = "zeroshot"
    title = "Zero-shot CLIP"
    source = "Radford et al., Learning Transferable Visual Models From Natural Language, ICML 2021"

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        return {}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, task.clip_text_features, task)

    def shared_only(self, params: Tensors) -> Tensors | None:
        """The same model for everybody."""
        return params

"""MaPLe (Khattak et al., CVPR 2023): text prompts, and image prompts coupled to them.

Equations as in the paper, "MaPLe: Multi-modal Prompt Learning"; details after the authors' code,
muzairkhattak/multimodal-prompt-learning at 69bce21.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.clip.layers import linear, start_linear
from fplbench.method import Batch, Method, Param, Task, Tensors
from fplbench.prompts import (
    INIT_STD,
    ContextSettings,
    behind,
    cosine_logits,
    start_context,
    text_features,
)


class MaPLe(Method):
    """Text    P_0 before the class name, P_i in its place at the input of layer i < J
    image   F_i(P_i) behind the patches, in the same layers;   F_i: linear     (equations 1 to 7)
    logits_k = s v(F(P)) . t_k(P), cross-entropy. All P_i and F_i are trained and shared.
    """

    name = "maple"
    title = "MaPLe"
    source = "Khattak et al., MaPLe: Multi-modal Prompt Learning, CVPR 2023"
    inputs = frozenset({"pixels"})
    variants: ClassVar = {"shallow": {"depth": 1, "fixed_words": "of a"}}

    class Config(ContextSettings):
        depth: int = Field(
            9,
            ge=1,
            description="J, layers with prompts, at most what both towers have. 9: the paper and "
            "train.py:109.",
        )
        fixed_words: str = Field(
            "",
            description="Constant words between context and class name. Empty: the paper. The "
            "published code, of 2 vectors and 'a photo of a', keeps 'of a'.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        ctx = start_context(self.config, task, generator)
        weight, bias = start_linear(task.image_width, task.width, generator)
        every = {"ctx": ctx, "couple": weight, "couple_bias": bias}
        deeper = min(self.config.depth, *task.layers) - 1
        if deeper:
            drawn = torch.empty(deeper, *ctx.shape).normal_(0, INIT_STD, generator=generator)
            # As published, all couplings of deeper layers start as copies of one.
            weight, bias = start_linear(task.image_width, task.width, generator)
            every["ctx_deep"] = drawn
            every["couple_deep"] = weight.repeat(deeper, 1, 1)
            every["couple_deep_bias"] = bias.repeat(deeper, 1)
        return {name: Param(value) for name, value in every.items()}

    def deep(self, params: Tensors) -> dict[int, Tensor]:
        """P_i, [C, n, d], of layers from 1 on."""
        deeper = params["ctx_deep"].unbind(1) if "ctx_deep" in params else ()
        return dict(enumerate(deeper, start=1))

    def encode(self, params: Tensors, task: Task) -> Tensors:
        names, deep = behind(self.config.fixed_words, task), self.deep(params)
        return {"t": text_features(params["ctx"], task, self.config.position, names, deep)}

    def images(self, params: Tensors, batch: Batch, task: Task) -> Tensor:
        """v, [C, B, D], unit length."""
        assert batch.embedded is not None
        first = linear(params["ctx"], params["couple"], params["couple_bias"])[:, None]
        deep = {
            layer: linear(
                prompt,
                params["couple_deep"][:, layer - 1],
                params["couple_deep_bias"][:, layer - 1],
            )[:, None]
            for layer, prompt in self.deep(params).items()
        }
        return F.normalize(task.encode_images(batch.embedded, first, deep).squeeze(1), dim=-1)

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(self.images(params, batch, task), text["t"], task)

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params

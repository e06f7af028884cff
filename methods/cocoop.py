"""CoCoOp (Zhou et al., CVPR 2022): a context that each image moves.

Equations as in the paper, "Conditional Prompt Learning for Vision-Language Models"; details after
the authors' code, KaiyangZhou/CoOp at ff61507.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.clip.layers import linear, start_linear
from fplbench.method import Batch, Method, Param, Task, Tensors
from fplbench.prompts import ContextSettings, start_context

PROMPTS_AT_ONCE = 2**12
"""Prompts (clients x images x classes) that are answered together."""


class CoCoOp(Method):
    """v_m(x) = v_m + pi(x),   pi = h(f(x)), a meta-net: linear, ReLU, linear

    t_k(x) = g([v_1(x)] ... [v_n(x)][CLASS_k]),   p(y = k | x) = softmax_k(scale cos(f(x), t_k(x)))
                                                                             (equation 3)
    The meta-net sees the image's feature at unit length.
    """

    name = "cocoop"
    title = "CoCoOp"
    source = "Zhou et al., Conditional Prompt Learning for Vision-Language Models, CVPR 2022"

    class Config(ContextSettings):
        reduction: int = Field(
            16,
            ge=1,
            description="The meta-net's hidden width is the joint width over this. 16: the paper, "
            "section 3.2, and trainers/cocoop.py.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        ctx = start_context(self.config, task, generator)
        hidden = max(1, task.embed_dim // self.config.reduction)
        w1, b1 = start_linear(hidden, task.embed_dim, generator)
        w2, b2 = start_linear(task.width, hidden, generator)
        every = {"ctx": ctx, "meta_w1": w1, "meta_b1": b1, "meta_w2": w2, "meta_b2": b2}
        return {name: Param(value) for name, value in every.items()}

    def bias(self, params: Tensors, images: Tensor) -> Tensor:
        """pi, [C, B, d], of images [C, B, D]."""
        hidden = F.relu(linear(images, params["meta_w1"], params["meta_b1"]))
        return linear(hidden, params["meta_w2"], params["meta_b2"])

    def conditioned(self, params: Tensors, images: Tensor, task: Task) -> Tensor:
        """t_k(x), [C, B, K, D], unit length."""
        contexts = params["ctx"][:, None] + self.bias(params, images)[:, :, None]  # [C, B, n, d]
        return F.normalize(task.encode_prompts(contexts, self.config.position), dim=-1)

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        count = len(batch.pooled) * len(task.classnames)
        parts = batch.pooled.split(max(1, PROMPTS_AT_ONCE // count), dim=1)
        if torch.is_grad_enabled():
            parts = (batch.pooled,)
        scores = [
            torch.einsum("cbd,cbkd->cbk", part, self.conditioned(params, part, task))
            for part in parts
        ]
        return task.logit_scale * torch.cat(scores, dim=1)

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params

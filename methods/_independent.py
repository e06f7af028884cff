"""Free prompts in both towers: what IVLP is, and what PromptSRC regulates.

Details after the code of muzairkhattak/multimodal-prompt-learning at 69bce21,
trainers/independentVL.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors
from fplbench.prompts import (
    INIT_STD,
    ContextSettings,
    behind,
    cosine_logits,
    deep_of,
    start_context,
    text_features,
)


class IndependentPrompts(Method):
    """Text   [SOS][ctx_0][CLASS]. ;  ctx_i in ctx_0's place at the input of layer i < J
    image  [CLS, patches, P_0];    P_i in P_0's place at the input of layer i < J_v

    All prompts are free. logits_k = s v(P) . t_k(ctx), cross-entropy.
    """

    inputs = frozenset({"pixels"})

    class Config(ContextSettings):
        depth: int = Field(
            9,
            ge=1,
            description="J, text layers with prompts, at most the tower's. 9: train.py:119.",
        )
        depth_vision: int = Field(
            9, ge=1, description="J_v, the same of the image tower. 9: train.py:118."
        )
        n_ctx_vision: int = Field(
            2, ge=1, description="Vectors in the image tower. 2: train.py:114."
        )
        fixed_words: str = Field(
            "",
            description="Constant words between context and class name. Empty: the paper. The "
            "published code keeps those words of its first text that no vector covers.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        text, image = task.layers
        ctx = start_context(self.config, task, generator)
        specs = {"ctx": Param(ctx)}
        drawn = torch.empty(
            min(self.config.depth_vision, image), self.config.n_ctx_vision, task.image_width
        )
        specs["ctx_vision"] = Param(drawn.normal_(0, INIT_STD, generator=generator))
        deeper = min(self.config.depth, text) - 1
        if deeper:
            drawn = torch.empty(deeper, *ctx.shape).normal_(0, INIT_STD, generator=generator)
            specs["ctx_deep"] = Param(drawn)
        return specs

    def encode(self, params: Tensors, task: Task) -> Tensors:
        deeper = params["ctx_deep"].unbind(1) if "ctx_deep" in params else ()
        names = behind(self.config.fixed_words, task)
        deep = dict(enumerate(deeper, start=1))
        return {"t": text_features(params["ctx"], task, self.config.position, names, deep)}

    def images(self, params: Tensors, batch: Batch, task: Task) -> Tensor:
        """v, [C, B, D], unit length."""
        assert batch.embedded is not None
        first, deep = deep_of(params["ctx_vision"])
        return F.normalize(task.encode_images(batch.embedded, first, deep).squeeze(1), dim=-1)

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(self.images(params, batch, task), text["t"], task)

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params

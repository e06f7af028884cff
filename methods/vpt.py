"""VPT (Jia et al., ECCV 2022) on CLIP: prompts of the image tower, the text is hand-written.

Details after the code of muzairkhattak/multimodal-prompt-learning at 69bce21, trainers/vpt.py.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Settings, Task, Tensors
from fplbench.prompts import INIT_STD, cosine_logits, deep_of


class VPT(Method):
    """[CLS, patches, P_0] before the first norm; P_i in P_0's place at the input of layer i < J

    J = 1 is VPT-shallow, J > 1 VPT-deep (equations 4 and 5 there). The prompts have no position.
    logits_k = s v(P) . t_k,   t_k of the data set's templates, frozen.
    """

    name = "vpt"
    title = "VPT"
    source = "Jia et al., Visual Prompt Tuning, ECCV 2022"
    inputs = frozenset({"pixels"})
    variants: ClassVar = {"shallow": {"depth": 1}}

    class Config(Settings):
        n_ctx_vision: int = Field(
            8, ge=1, description="Vectors in the image tower. 8: vit_b16_c2_ep5_batch4_4.yaml."
        )
        depth: int = Field(
            9,
            ge=1,
            description="J, layers with prompts of their own, at most the tower's. 9: MaPLe's; "
            "the yaml has 12.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        depth = min(self.config.depth, task.layers[1])
        drawn = torch.empty(depth, self.config.n_ctx_vision, task.image_width)
        return {"ctx_vision": Param(drawn.normal_(0, INIT_STD, generator=generator))}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        assert batch.embedded is not None
        first, deep = deep_of(params["ctx_vision"])
        images = task.encode_images(batch.embedded, first, deep).squeeze(1)
        return cosine_logits(F.normalize(images, dim=-1), task.clip_text_features, task)

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params

"""PLOT++ (Chen et al., ICLR 2023): PLOT's own form for a ViT, with prompts of the image tower.

Details after the authors' code, CHENGY12/PLOT at 728539f, plot-pp.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors
from fplbench.prompts import INIT_STD, ContextSettings, cosine_logits, start_context
from fplbench.transport import Rule, transported


class PLOTpp(Method):
    """An image is encoded M times, each with image prompts of its own behind its patches: f_m.

    S_mn = cos(f_m, h_n), h_1 ... h_N the class's N text prompts;   T: Sinkhorn's plan, as PLOT's
    logit = scale * <T, S>,   T without gradient. Both kinds of prompts are trained.
    """

    name = "plotpp"
    title = "PLOT++"
    source = (
        "Chen et al., PLOT: Prompt Learning with Optimal Transport for Vision-Language Models, "
        "ICLR 2023; its repository, plot-pp"
    )
    inputs = frozenset({"pixels"})
    variants: ClassVar = {"pooled": {"pooled": True, "images": 2}}

    class Config(ContextSettings):
        prompts: int = Field(
            4, ge=1, description="N, text prompts of a class. 4: plot-pp/train.py:91."
        )
        images: int = Field(4, ge=1, description="M, image prompts. 4: plot-pp/train.py:101.")
        n_ctx_vision: int = Field(
            2, ge=1, description="Vectors of an image prompt. 2: plot-pp/train.py."
        )
        eps: float = Field(
            0.1, ge=0.003, description="Weight of the entropy. 0.1: plotpp.py, as in PLOT."
        )
        thresh: float = Field(
            1e-2, ge=0, description="Stop when the scaling changes by less. 1e-2: as PLOT's."
        )
        max_iter: int = Field(
            100, ge=1, description="Iterations at most. 100: plotpp.py, as in PLOT."
        )
        pooled: bool = Field(
            False,
            description="Whether the logits of both means are added. False: the published code "
            "does so on ImageNet alone (TRADE_OFF).",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        config = self.config
        drawn = [start_context(config, task, generator) for _ in range(config.prompts)]
        image = torch.empty(config.images, config.n_ctx_vision, task.image_width)
        return {
            "ctx": Param(torch.stack(drawn)),
            "ctx_vision": Param(image.normal_(0, INIT_STD, generator=generator)),
        }

    def encode(self, params: Tensors, task: Task) -> Tensors:
        found = task.encode_prompts(params["ctx"], self.config.position)  # [C, N, K, D]
        return {"h": F.normalize(found, dim=-1), "t": F.normalize(found.mean(1), dim=-1)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        assert batch.embedded is not None
        config = self.config
        images = task.encode_images(batch.embedded, params["ctx_vision"])  # [C, M, B, D]
        f = F.normalize(images, dim=-1).transpose(1, 2)
        similarity = torch.einsum("cbmd,cnkd->cbmnk", f, text["h"])
        rule = Rule(False, 1, config.eps, config.thresh, config.max_iter)
        logits = task.logit_scale * transported(similarity, batch.mask, rule, batch.training)
        if not config.pooled:
            return logits
        return logits + cosine_logits(F.normalize(images.mean(1), dim=-1), text["t"], task)

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params

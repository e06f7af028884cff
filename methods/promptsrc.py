"""PromptSRC (Khattak et al., ICCV 2023): prompts in both towers, regulated by CLIP itself.

Equations as in the paper, "Self-regulating Prompts: Foundational Model Adaptation without
Forgetting"; details after the authors' code, muzairkhattak/PromptSRC at bb95c77.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.method import (
    Batch,
    Method,
    Param,
    Round,
    Task,
    Tensors,
    cross_entropy,
    masked_mean,
)
from fplbench.methods._independent import IndependentPrompts
from fplbench.prompts import cosine_logits

AVERAGE, WEIGHT = "average_", "weight"
TEMPLATES = (
    "a photo of a {}.",
    "a bad photo of a {}.",
    "a photo of many {}.",
    "a sculpture of a {}.",
    "a photo of the hard to see {}.",
    "a low resolution photo of the {}.",
    "a rendering of a {}.",
    "graffiti of a {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
    "a tattoo of a {}.",
    "the embroidered {}.",
    "a photo of a hard to see {}.",
    "a bright photo of a {}.",
    "a photo of a clean {}.",
    "a photo of a dirty {}.",
    "a dark photo of the {}.",
    "a drawing of a {}.",
    "a photo of my {}.",
    "the plastic {}.",
    "a photo of the cool {}.",
    "a close-up photo of a {}.",
    "a black and white photo of the {}.",
    "a painting of the {}.",
    "a painting of a {}.",
    "a pixelated photo of the {}.",
    "a sculpture of the {}.",
    "a bright photo of the {}.",
    "a cropped photo of a {}.",
    "a plastic {}.",
    "a photo of the dirty {}.",
    "a jpeg corrupted photo of a {}.",
    "a blurry photo of the {}.",
    "a photo of the {}.",
    "a good photo of the {}.",
    "a rendering of the {}.",
    "a {} in a video game.",
    "a photo of one {}.",
    "a doodle of a {}.",
    "a close-up photo of the {}.",
    "the origami {}.",
    "the {} in a video game.",
    "a sketch of a {}.",
    "a doodle of the {}.",
    "a origami {}.",
    "a low resolution photo of a {}.",
    "the toy {}.",
    "a rendition of the {}.",
    "a photo of the clean {}.",
    "a photo of a large {}.",
    "a rendition of a {}.",
    "a photo of a nice {}.",
    "a photo of a weird {}.",
    "a blurry photo of a {}.",
    "a cartoon {}.",
    "art of a {}.",
    "a sketch of the {}.",
    "a embroidered {}.",
    "a pixelated photo of a {}.",
    "itap of the {}.",
)
"""The 60 texts that t0 is the mean of, in the published code: some of CLIP's for ImageNet."""


class PromptSRC(IndependentPrompts):
    """L = CE + w_t L1(t, t0) + w_v L1(v, v0) + KL(p0 || p) / (B K)         (equations 3 to 5)

    t0: CLIP's text features, the mean over many templates; v0: of the images without prompts;
    p0: zero-shot predictions. L1: the mean over all entries, to which the weights belong.

    Tested are not the last tensors but their average over the rounds with Gaussian weights
    N(a; mean, std), which the server keeps and no client trains from (equation 6).
    """

    name = "promptsrc"
    title = "PromptSRC"
    source = (
        "Khattak et al., Self-regulating Prompts: Foundational Model Adaptation without "
        "Forgetting, ICCV 2023"
    )
    variants: ClassVar = {"shallow": {"depth": 1, "depth_vision": 1}, "last": {"average": False}}
    # Under these, the last tensors are tested.
    strategies = frozenset(
        {
            "fedavg",
            "local",
            "fedprox",
            "fedper",
            "fedamp",
            "scaffold",
            "fedopt",
            "ditto",
            "finetune",
        }
    )

    class Config(IndependentPrompts.Config):
        n_ctx_vision: int = Field(
            4, ge=1, description="Vectors in the image tower. 4: the paper and train.py."
        )
        text_weight: float = Field(
            25.0, ge=0, description="w_t, weight of the text distance. 25: the paper."
        )
        image_weight: float = Field(
            10.0, ge=0, description="w_v, weight of the image distance. 10: the paper."
        )
        average: bool = Field(
            True, description="Whether the Gaussian average is tested. True: the paper."
        )
        gpa_mean: float = Field(
            15.0,
            ge=0,
            description="Mean of the Gaussian, a round. 15: of 20 epochs, train.py:123.",
        )
        gpa_std: float = Field(
            1.0, gt=0, description="Its standard deviation, in rounds. 1: epochs, train.py:124."
        )

    config: Config

    def prepare(self, params: Tensors, received: Tensors, task: Task) -> Tensors:
        """t0, [C, K, D]."""
        names = [name.replace("_", " ") for name in task.classnames]
        texts = [template.replace("{}", name) for name in names for template in TEMPLATES]
        features = task.encode_texts(texts).unflatten(0, (len(names), -1)).mean(1)
        anchor = F.normalize(features, dim=-1)
        return {"t0": anchor.expand(len(params["ctx"]), *anchor.shape)}

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        text, images = self.encode(params, task)["t"], self.images(params, batch, task)
        t0 = batch.fixed["t0"]
        v0 = batch.pooled
        logits, zero = cosine_logits(images, text, task), cosine_logits(v0, t0, task)
        far_images = masked_mean((images - v0).abs().mean(-1), batch.mask)
        return {
            "ce": cross_entropy(logits, batch),
            "scl_text": self.config.text_weight * (text - t0).abs().mean((1, 2)),
            "scl_image": self.config.image_weight * far_images,
            "scl_logits": self.divergence(logits, zero, batch),
        }

    def divergence(self, logits: Tensor, zero: Tensor, batch: Batch) -> Tensor:
        """[C]: KL(p0 || p), the mean over images and classes."""
        if batch.class_mask is not None:
            left_out = ~batch.class_mask[:, None]
            logits, zero = (z.masked_fill(left_out, float("-inf")) for z in (logits, zero))
        p0 = zero.softmax(-1)
        each = p0 * (zero.log_softmax(-1) - logits.log_softmax(-1))
        return masked_mean(torch.where(p0 > 0, each, 0).mean(-1), batch.mask)

    def begin(self, specs: Mapping[str, Param], total: int) -> Tensors:
        shared = super().begin(specs, total)
        if not self.config.average:
            return shared
        averages = {f"{AVERAGE}{name}": value.clone() for name, value in shared.items()}
        return shared | averages | {WEIGHT: torch.zeros((), dtype=torch.float64)}

    def aggregate(self, server: Tensors, uploads: Tensors, r: Round) -> Tensors:
        means = super().aggregate(server, uploads, r)
        if not self.config.average:
            return means
        weight = math.exp(-(((r.index - self.config.gpa_mean) / self.config.gpa_std) ** 2) / 2)
        before = float(server[WEIGHT])
        share = weight / (before + weight) if before + weight else 1.0
        averages = {
            f"{AVERAGE}{name}": torch.lerp(server[f"{AVERAGE}{name}"], mean, share)
            for name, mean in means.items()
        }
        return means | averages | {WEIGHT: server[WEIGHT] + weight}

    def download(self, server: Tensors, r: Round) -> Tensors:
        return super().download({name: server[name] for name in r.shared}, r)

    def for_test(self, server: Tensors, r: Round) -> Tensors:
        if not self.config.average:
            return self.download(server, r)
        return Method.download(self, {n: server[f"{AVERAGE}{n}"] for n in r.shared}, r)

"""pFedPrompt (Guo et al., WWW 2023): a shared prompt and each client's memory of its images.

No code was published. docs/methods.md says what is known of the memory, from whom, and what was
chosen here; its form is that of Tip-Adapter (Zhang et al., ECCV 2022), equations 3 to 5.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors
from fplbench.prompts import ContextSettings, cosine_logits, start_context, text_features


class PFedPrompt(Method):
    """What all users agree on is learned in the text, what is a user's own lies in its images.

    logits = scale * cos(v, t) + alpha * sum_s a_s onehot(label_s)
    a_s = mean over the image's features q of exp(-beta (1 - cos(q, key_s)))

    t: text features with the shared context, trained and averaged as PromptFL's.
    q: the features of the image's patches (spatial), or its one pooled feature.
    key_s, label_s: one of each class that the client has images of, the unit-length mean of all
    their features (prototypes); or one of each training image, the unit-length mean of its own.
    """

    name = "pfedprompt"
    title = "pFedPrompt"
    source = (
        "Guo et al., pFedPrompt: Learning Personalized Prompt for Vision-Language Models in "
        "Federated Learning, WWW 2023"
    )
    variants: ClassVar = {
        "images_pooled": {"keys": "images", "features": "pooled"},
        "images_spatial": {"keys": "images"},
        "prototypes_pooled": {"features": "pooled"},
    }

    class Config(ContextSettings):
        keys: Literal["prototypes", "images"] = Field(
            "prototypes",
            description="What the memory is asked by. prototypes: one key of each class, as a "
            "second-hand note on the paper says; images: one of each training image.",
        )
        features: Literal["spatial", "pooled"] = Field(
            "spatial",
            description="What keys and queries are made of. spatial: the features of patches, as "
            "the same note and pFedMoAP's authors say; pooled: an image's one feature.",
        )
        alpha: float = Field(
            1.0, ge=0, description="Weight of the memory. 1: Tip-Adapter's default; 0: PromptFL."
        )
        beta: float = Field(
            5.5, gt=0, description="Sharpness of the memory's affinity. 5.5: Tip-Adapter's default."
        )

    config: Config

    @property
    def inputs(self) -> frozenset[str]:
        patches = {"patches"} if self.config.features == "spatial" else set()
        return frozenset({"pooled"} | patches)

    @property
    def step_inputs(self) -> frozenset[str]:
        """The memory takes no part in training."""
        return frozenset({"pooled"})

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        return {"ctx": Param(start_context(self.config, task, generator))}

    def memory(self, task: Task, batch: Batch) -> Tensors:
        """Keys [C, S, D], the places of their labels in the class list [C, S], and which exist."""
        assert batch.labels is not None
        images = batch.pooled
        if self.config.features == "spatial":
            assert batch.patches is not None
            images = batch.patches.mean(2)
        if self.config.keys == "images":
            keys = images if self.config.features == "pooled" else F.normalize(images, dim=-1)
            return {"keys": keys, "labels": batch.labels, "stored": batch.mask}
        own = F.one_hot(batch.labels, len(task.classnames)) * batch.mask[..., None]  # [C, B, K]
        keys = F.normalize(own.mT.to(images.dtype) @ images, dim=-1)
        labels = torch.arange(own.shape[-1], device=own.device).expand(len(own), -1)
        return {"keys": keys, "labels": labels, "stored": own.any(1)}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        return {"t": text_features(params["ctx"], task, self.config.position)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        logits = cosine_logits(batch.pooled, text["t"], task)
        # The prompt is trained without the memory, where each image would find itself.
        if batch.training or not batch.fixed:
            return logits
        return logits + self.config.alpha * self.recall(batch, task)

    def recall(self, batch: Batch, task: Task) -> Tensor:
        """[C, B, K]: what the memory says; nothing about classes that it has no label for."""
        labels, stored = batch.fixed["labels"], batch.fixed["stored"]
        affinity = self.affinity(batch).masked_fill(~stored[:, None], 0)  # [C, B, S]
        return affinity @ batch.asked(labels, task).to(affinity.dtype)

    def affinity(self, batch: Batch) -> Tensor:
        """[C, B, S]: of each image to each key, above 0 and at most 1."""
        keys = batch.fixed["keys"].transpose(1, 2)
        if self.config.features == "pooled":
            return torch.exp(-self.config.beta * (1 - batch.pooled @ keys))
        assert batch.patches is not None
        cosines = batch.patches.flatten(1, 2) @ keys  # [C, B M, S]
        each = torch.exp(-self.config.beta * (1 - cosines))
        return each.view(*batch.patches.shape[:3], -1).mean(2)

    def shared_only(self, params: Tensors) -> Tensors | None:
        """The prompt; its evaluation comes without a memory."""
        return params

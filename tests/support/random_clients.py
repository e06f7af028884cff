"""A few clients with random prompts and random images, on the small random CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from golden_backbone import golden_backbone

from fplbench.clip.backbone import Backbone
from fplbench.clip.task import PromptTask
from fplbench.engine.train import step_gradients
from fplbench.method import Batch, Method, Tensors
from fplbench.plugins import registry

CLASSES = ("cat", "boeing 747", "forget_me_not", "sphynx", "sword-lily")
OTHER_CLASSES = ("bird of paradise", "DC-10", "egyptian mau")
PATCHES = 9


@cache
def backbone() -> Backbone:
    return golden_backbone(Path(__file__).parents[1] / "golden")


@cache
def task(classnames: Sequence[str] = CLASSES) -> PromptTask:
    clip = backbone()
    templates = ["a photo of a {}.", "a {}."]
    return PromptTask(clip.text, classnames, templates, clip.logit_scale, visual=clip.visual)


def method(name: str, **settings: object) -> Method:
    kind = registry.methods().get(name)
    short = {"n_ctx": 3} if "n_ctx" in kind.Config.model_fields else {}
    return kind(kind.Config(**short | settings))


def params(chosen: Method, clients: int, seed: int = 0) -> Tensors:
    """Each client's own random values, far enough apart that no two give the same logits."""
    noise = torch.Generator().manual_seed(seed)
    specs = chosen.init(task(), noise)
    return {
        name: 0.2 * torch.randn(clients, *spec.value.shape, generator=noise)
        for name, spec in specs.items()
    }


def batch(clients: int, images: int = 4, seed: int = 0, training: bool = True) -> Batch:
    """Client c lacks its last c images (but never its first)."""
    noise = torch.Generator().manual_seed(seed)
    pooled = torch.randn(clients, images, backbone().embed_dim, generator=noise)
    patches = torch.randn(clients, images, PATCHES, backbone().embed_dim, generator=noise)
    labels = torch.randint(len(CLASSES), (clients, images), generator=noise)
    count = (images - torch.arange(clients)).clamp(min=1)
    return Batch(
        mask=torch.arange(images) < count[:, None],
        pooled=F.normalize(pooled, dim=-1),
        patches=F.normalize(patches, dim=-1),
        labels=labels if training else None,
        training=training,
        trained_on=CLASSES,
    )


def gradients(chosen: Method, of: Tensors, on: Batch) -> tuple[Tensors, Tensors]:
    """The loss terms and gradients as the engine computes them."""
    return step_gradients(chosen, of, list(of), on, task())

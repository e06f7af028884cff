"""A frozen CLIP as the rest of the package sees it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from open_clip.model import CLIP, CustomTextCLIP
from PIL.Image import Image
from torch import Tensor, nn

from fplbench.clip.image import ImageFeatures, has_patches, image_features
from fplbench.clip.prompts import Tokenizer
from fplbench.clip.text import TextTower
from fplbench.clip.vision import embed

Preprocess = Callable[[Image], Tensor]


@dataclass(frozen=True, eq=False)
class Backbone:
    """Both towers with what surrounds them; nothing in it is ever trained.

    name: as given by the user; fingerprint: of the weights' content and the activation.
    preprocess: an image to [3, H, W], without randomness; image_size: (H, W).
    logit_scale: scalar, already exponentiated; logit_bias: None but for SigLIP's kind. Logits
    here leave the bias out: it is the same for all classes, so neither softmax nor argmax sees it.
    notes: what a reader of the numbers should know of these weights.
    """

    name: str
    fingerprint: str
    model: CLIP | CustomTextCLIP
    tokenizer: Tokenizer
    preprocess: Preprocess
    image_size: tuple[int, int]
    embed_dim: int
    logit_scale: Tensor
    logit_bias: float | None
    text: TextTower
    notes: tuple[str, ...] = ()

    @property
    def device(self) -> torch.device:
        return self.logit_scale.device

    @property
    def has_patches(self) -> bool:
        """Whether `images` can give patches."""
        return has_patches(self.visual)

    def embedded(self, pixels: Tensor) -> Tensor:
        """Embedded patches of pixels [B, 3, H, W], [B, L, w], as ImageTower reads them.

        UserError: a tower that takes no prompts.
        """
        return embed(self.visual, pixels)

    @property
    def preprocess_id(self) -> str:
        """The preprocessing in words, equal in every process."""
        return re.sub(r" at 0x[0-9a-f]+", "", repr(self.preprocess))

    def images(self, pixels: Tensor, patches: bool = False) -> ImageFeatures:
        """Features of pixels [B, 3, H, W] on the backbone's device, not normalised.

        UserError: patches of a tower that has none.
        """
        return image_features(self.visual, pixels, patches)

    @property
    def visual(self) -> nn.Module:
        visual: nn.Module = self.model.visual
        return visual


def freeze(
    name: str,
    arch: str,
    model: CLIP | CustomTextCLIP,
    tokenizer: Tokenizer,
    preprocess: Preprocess,
    *,
    quick_gelu: bool,
    device: torch.device | str = "cpu",
    notes: tuple[str, ...] = (),
) -> Backbone:
    """Make a backbone of an open_clip model, in float32, on that device.

    UserError: its text tower cannot take prompts as vectors.
    """
    model = model.float().eval().requires_grad_(False)
    print_ = fingerprint(model, arch=arch, quick_gelu=quick_gelu)
    model = model.to(device)
    text = TextTower(model, tokenizer)
    size = model.visual.image_size
    bias = model.logit_bias
    return Backbone(
        name=name,
        fingerprint=print_,
        model=model,
        tokenizer=tokenizer,
        preprocess=preprocess,
        image_size=(size, size) if isinstance(size, int) else tuple(size),
        embed_dim=text.embed_dim,
        logit_scale=model.logit_scale.exp().squeeze(),
        logit_bias=None if bias is None else float(bias),
        text=text,
        notes=notes,
    )


def fingerprint(model: nn.Module, **about: str | bool) -> str:
    """SHA-256 over the weights, in the order of their names, and what they do not tell."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()

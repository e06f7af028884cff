"""Small CLIPs with random weights, and a tokenizer that needs no vocabulary file."""

from __future__ import annotations

from typing import Any

import torch
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transform import PreprocessCfg, image_transform_v2
from torch import Tensor

from fplbench.clip.backbone import Backbone, freeze

VOCABULARY = 300
START, END = 298, 299


class LetterTokenizer:
    """One token a letter, in open_clip's manner: [SOS] letters [EOT] and zeros."""

    def __call__(self, texts: list[str], context_length: int = 77) -> Tensor:
        out = torch.zeros(len(texts), context_length, dtype=torch.long)
        for row, text in zip(out, texts, strict=True):
            letters = text.replace(" ", "").encode("latin-1")[: context_length - 2]
            ids = [START, *letters, END]
            row[: len(ids)] = torch.tensor(ids)
        return out


def small_clip(
    *,
    width: int = 16,
    heads: int = 2,
    layers: int = 2,
    embed_dim: int = 12,
    quick_gelu: bool = False,
    custom: bool = False,
    text: dict[str, Any] | None = None,
    vision: dict[str, Any] | None = None,
    seed: int = 0,
) -> CLIP | CustomTextCLIP:
    """A frozen model; `text` and `vision` go into open_clip's configurations of the towers."""
    text_cfg = {"vocab_size": VOCABULARY, "width": width, "heads": heads, "layers": layers}
    vision_cfg = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 2, "head_width": 8}
    kind = CustomTextCLIP if custom else CLIP
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(
            embed_dim,
            vision_cfg | (vision or {}),
            text_cfg | (text or {}),
            quick_gelu=quick_gelu,
        )
        for parameter in model.parameters():
            # Biases and gains away from 0 and 1, or an error in them would not show.
            parameter.data += 0.02 * torch.randn(parameter.shape)
    frozen: CLIP | CustomTextCLIP = model.eval().requires_grad_(False)
    return frozen


def small_backbone(**settings: Any) -> Backbone:
    """A backbone around `small_clip`, for images of 16 x 16 pixels."""
    model = small_clip(**settings)
    preprocess = image_transform_v2(PreprocessCfg(size=16), is_train=False)
    return freeze("small", "small", model, LetterTokenizer(), preprocess, quick_gelu=False)


def far(a: Tensor, b: Tensor) -> float:
    """The largest difference relative to the largest entry of b."""
    assert a.shape == b.shape
    return float((a - b).detach().abs().max() / b.detach().abs().max())

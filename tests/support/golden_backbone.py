"""The backbones behind the golden numbers: small CLIPs with random weights, OpenAI's names."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import open_clip
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors.torch import load_file

from fplbench.clip.backbone import Backbone, freeze

# fmt: off
CLIP_TINY = (
    0, 268, 269, 271, 272, 275, 278, 343, 539, 614, 622, 783, 2151, 2368, 2678, 2743, 3329,
    3469, 4481, 4735, 4744, 5110, 6029, 7247, 7476, 10647, 11356, 11857, 12428, 14455, 16437,
    16997, 21138, 23033, 35435, 43808, 49406, 49407,
)
# fmt: on
"""The tokens that clip_tiny knows: clip_tiny2 has the same tensors, and knows more."""


@cache
def golden_backbone(folder: Path, name: str = "clip_tiny") -> Backbone:
    """folder: where the base files lie. Every size is read from the file."""
    path = folder / f"{name}.safetensors"
    known: tuple[int, ...] = ()
    if not path.is_file() and name == "clip_tiny":
        path, known = folder / "clip_tiny2.safetensors", CLIP_TINY
    weights = load_file(path)
    values, rows = (weights.pop(f"token_embedding.{part}") for part in ("values", "rows"))
    if known:
        values = values * torch.isin(rows, torch.tensor(known))[:, None]
    table = torch.zeros(49408, values.shape[1])
    table[rows] = values
    weights["token_embedding.weight"] = table
    width, patch = weights["visual.conv1.weight"].shape[0], weights["visual.conv1.weight"].shape[-1]
    patches = len(weights["visual.positional_embedding"]) - 1
    vision = CLIPVisionCfg(
        layers=_layers(weights, "visual.transformer."),
        width=width,
        head_width=64,
        patch_size=patch,
        image_size=patch * round(patches**0.5),
    )
    text = CLIPTextCfg(
        width=values.shape[1],
        heads=values.shape[1] // 64,
        layers=_layers(weights, "transformer."),
    )
    model = CLIP(weights["text_projection"].shape[1], vision, text, quick_gelu=True)
    model.load_state_dict(weights)
    preprocess = image_transform_v2(PreprocessCfg(size=32), is_train=False)
    return freeze(
        "golden", "golden", model, open_clip.SimpleTokenizer(), preprocess, quick_gelu=True
    )


def _layers(weights: dict[str, torch.Tensor], tower: str) -> int:
    start = f"{tower}resblocks."
    return len({name[len(start) :].split(".")[0] for name in weights if name.startswith(start)})

"""The backbone behind the golden numbers: a small CLIP with random weights, OpenAI's names."""

from __future__ import annotations

from pathlib import Path

import open_clip
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors.torch import load_file

from fplbench.clip.backbone import Backbone, freeze


def golden_backbone(folder: Path) -> Backbone:
    """folder: where clip_tiny.safetensors lies."""
    weights = load_file(folder / "clip_tiny.safetensors")
    table = torch.zeros(49408, 128)
    table[weights.pop("token_embedding.rows")] = weights.pop("token_embedding.values")
    weights["token_embedding.weight"] = table
    vision = CLIPVisionCfg(layers=2, width=128, head_width=64, patch_size=8, image_size=32)
    model = CLIP(64, vision, CLIPTextCfg(width=128, heads=2, layers=2), quick_gelu=True)
    model.load_state_dict(weights)
    preprocess = image_transform_v2(PreprocessCfg(size=32), is_train=False)
    return freeze(
        "golden", "golden", model, open_clip.SimpleTokenizer(), preprocess, quick_gelu=True
    )

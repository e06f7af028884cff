"""The forms that CLIP's weights are published in, as open_clip's names, and which activation
they were trained with, where a file or what lies beside it tells."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fplbench.errors import UserError

StateDict = dict[str, Tensor]

IMAGES = ("mean", "std", "interpolation", "resize_mode", "fill_color")
"""What of open_clip's preprocess_cfg is the weights' own; the size is the model's."""

# What OpenAI's archives hold beside the weights; no other code writes them.
OPENAI_MARKS = ("input_resolution", "context_length", "vocab_size")

# Of transformers' CLIPModel: its names, without ".weight" and ".bias", and ours.
HF_PARTS = {
    "text_model.embeddings.token_embedding": "token_embedding",
    "text_model.final_layer_norm": "ln_final",
    "vision_model.embeddings.patch_embedding": "visual.conv1",
    "vision_model.pre_layrnorm": "visual.ln_pre",  # transformers' own spelling
    "vision_model.post_layernorm": "visual.ln_post",
}
HF_WHOLE = {
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "logit_scale": "logit_scale",
}
HF_TRANSPOSED = {
    "text_projection.weight": "text_projection",
    "visual_projection.weight": "visual.proj",
}
HF_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
HF_TOWERS = {"text_model": "transformer", "vision_model": "visual.transformer"}


@dataclass(frozen=True)
class Weights:
    """tensors: under open_clip's names. quick_gelu: the activation they were trained with, None
    where nothing tells. notes: what a record should say of the file. preprocess: how images were
    made ready, as open_clip's preprocess_cfg; None where nothing tells."""

    tensors: StateDict
    quick_gelu: bool | None
    notes: tuple[str, ...] = ()
    preprocess: Mapping[str, object] | None = None


def recognised(tensors: StateDict, path: Path) -> Weights:
    """OpenAI's, transformers' or open_clip's own form. UserError: weights of another model, or
    transformers' without the file that names their activation."""
    if any(name.startswith("vision_model.") for name in tensors):
        found = _from_transformers(tensors, path)
        images = _images_of_transformers(path)
        return Weights(found, _activation_of_transformers(path), preprocess=images)
    # attn_mask is computed, and an attribute in archives.
    ours = {name: value for name, value in tensors.items() if not _is_beside(name)}
    if any(mark in tensors for mark in OPENAI_MARKS):
        return Weights(ours, True, preprocess={})
    return Weights(ours, _activation_of_open_clip(path), preprocess=_images_of_open_clip(path))


def _is_beside(name: str) -> bool:
    return name in OPENAI_MARKS or name.rpartition(".")[2] == "attn_mask"


def _activation_of_open_clip(path: Path) -> bool | None:
    about = _beside(path, "open_clip_config.json").get("model_cfg")
    if isinstance(about, dict):
        return bool(about.get("quick_gelu", False))
    return True if "openai" in path.name.lower() else None


def _activation_of_transformers(path: Path) -> bool:
    """Both towers' hidden_act; where a configuration leaves it out, CLIPConfig's quick_gelu."""
    about = _beside(path, "config.json")
    if not about:
        raise UserError(
            f"{path} has transformers' names, and its config.json, which tells the activation "
            "(GELU or QuickGELU), does not lie beside it: download that file too"
        )
    parts = [about.get(f"{tower}_config") for tower in ("text", "vision")]
    towers = [part if isinstance(part, dict) else {} for part in parts]
    acts = {str(tower.get("hidden_act", "quick_gelu")) for tower in towers}
    if acts not in ({"quick_gelu"}, {"gelu"}):
        raise UserError(
            f"{path.parent / 'config.json'} names the activations {', '.join(sorted(acts))}, but "
            "both towers must have gelu or quick_gelu: use weights of CLIP's own kind"
        )
    return acts == {"quick_gelu"}


def _images_of_open_clip(path: Path) -> Mapping[str, object] | None:
    """OpenAI's way, {}, of weights that are said to be OpenAI's."""
    about = _beside(path, "open_clip_config.json").get("preprocess_cfg")
    if isinstance(about, dict):
        return {name: about[name] for name in IMAGES if name in about}
    return {} if "openai" in path.name.lower() else None


def _images_of_transformers(path: Path) -> Mapping[str, object] | None:
    """Of an image processor's own names; its resample is PIL's number of a filter."""
    about = _beside(path, "preprocessor_config.json")
    if not about:
        return None
    found = {"mean": about.get("image_mean"), "std": about.get("image_std")}
    found["interpolation"] = {2: "bilinear", 3: "bicubic"}.get(about.get("resample", 3))
    return {name: value for name, value in found.items() if value is not None}


def _beside(path: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((path.parent / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path.parent / name}, which tells how {path.name} was trained, cannot be read "
            f"({error}): repair or download it again"
        ) from error
    return content if isinstance(content, dict) else {}


def _from_transformers(tensors: StateDict, path: Path) -> StateDict:
    """A CLIPModel's tensors; q, k and v become one matrix, as torch's own attention has them."""
    found: StateDict = {}
    apart: dict[str, dict[str, Tensor]] = {}  # "visual...in_proj_weight" -> q, k, v
    unknown = []
    for name, value in tensors.items():
        if name.endswith("position_ids"):
            continue
        part, _, end = name.rpartition(".")
        layer = re.match(r"(text_model|vision_model)\.encoder\.layers\.(\d+)\.(.+)", part)
        if name in HF_WHOLE:
            found[HF_WHOLE[name]] = value
        elif name in HF_TRANSPOSED:
            found[HF_TRANSPOSED[name]] = value.t().contiguous() if value.dim() == 2 else value
        elif part in HF_PARTS:
            found[f"{HF_PARTS[part]}.{end}"] = value
        elif layer and layer[3] in HF_LAYER:
            block = f"{HF_TOWERS[layer[1]]}.resblocks.{layer[2]}"
            found[f"{block}.{HF_LAYER[layer[3]]}.{end}"] = value
        elif layer and (of := re.fullmatch(r"self_attn\.([qkv])_proj", layer[3])):
            block = f"{HF_TOWERS[layer[1]]}.resblocks.{layer[2]}"
            apart.setdefault(f"{block}.attn.in_proj_{end}", {})[of[1]] = value
        else:
            unknown.append(name)
    lacking = [name for name, parts in apart.items() if set(parts) != set("qkv")]
    if unknown or lacking:
        raise UserError(
            f"{path} has transformers' names, but not those of a CLIPModel (it has "
            f"{sorted(unknown + lacking)[0]}): give the same model's open_clip weights, or a CLIP"
        )
    try:
        joined = {name: torch.cat([parts[c] for c in "qkv"]) for name, parts in apart.items()}
    except RuntimeError as error:
        raise UserError(
            f"{path} has transformers' names, but its queries, keys and values do not fit one "
            "another: download it again"
        ) from error
    return found | joined

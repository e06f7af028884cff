"""The embedded backbone: a CLIP of 1.2 M parameters, trained by fplbench.embedded.tiny.pretrain."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from open_clip import CLIP
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL.Image import Image
from safetensors.torch import load_file
from torch import Tensor

from fplbench.embedded.tiny.tokenizer import TinyTokenizer

FOLDER = Path(__file__).parent
CONFIG = FOLDER / "config.json"
WEIGHTS = FOLDER / "weights.safetensors"

# The renderer's pictures fill [0, 1] evenly; half a range to each side suits all channels.
MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)

# What suits this small tower: docs/defaults.md tells how each was chosen.
TRAINING_DEFAULTS = {"lr": 0.007, "lr_schedule": "cosine"}
METHOD_DEFAULTS = {"n_ctx": 4}

Preprocess = Callable[[Image], Tensor]


def build() -> CLIP:
    """The model of config.json with fresh random weights."""
    config: dict[str, Any] = json.loads(CONFIG.read_text())
    return CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])


def preprocess() -> Preprocess:
    """PIL image of any size and mode to a normalised float tensor [3, 48, 48]; an image that is
    not square is squeezed, so that nothing of it is lost."""
    size = json.loads(CONFIG.read_text())["vision_cfg"]["image_size"]
    cfg = PreprocessCfg(size=size, mean=MEAN, std=STD, resize_mode="squash")
    transform: Preprocess = image_transform_v2(cfg, is_train=False)
    return transform


def load(weights: Path = WEIGHTS) -> tuple[CLIP, TinyTokenizer, Preprocess]:
    """The frozen model in float32, its tokenizer and its image preprocessing."""
    model = build()
    state = {name: value.float() for name, value in load_file(weights).items()}
    model.load_state_dict(state, strict=True)
    model.eval().requires_grad_(False)
    return model, TinyTokenizer(), preprocess()

"""Backbones by their names on the command line: the embedded one, and open_clip's."""

from __future__ import annotations

from typing import Any

import torch

from fplbench.clip import load as open_clips
from fplbench.clip.backbone import Backbone, freeze

EMBEDDED = "tiny"


def load(name: str, device: torch.device | str = "cpu") -> Backbone:
    """The frozen backbone of that name, in float32. UserError: its weights cannot be had.

    tiny: the embedded one; anything else as in `fplbench.clip.load`.
    """
    if name != EMBEDDED:
        return open_clips.load(name, device, besides=(EMBEDDED,))
    from fplbench.embedded import tiny

    return freeze(name, name, *tiny.load(), quick_gelu=False, device=device)


def training_defaults(name: str) -> dict[str, Any]:
    """Training settings that this backbone needs otherwise than OpenAI's CLIP, by their names."""
    if name != EMBEDDED:
        return {}
    from fplbench.embedded import tiny

    return dict(tiny.TRAINING_DEFAULTS)


def method_defaults(name: str) -> dict[str, Any]:
    """The same of methods' settings: each method that has one of the name takes it."""
    if name != EMBEDDED:
        return {}
    from fplbench.embedded import tiny

    return dict(tiny.METHOD_DEFAULTS)

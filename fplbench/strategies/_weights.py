"""What a client counts for in the server's mean, as a setting."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from fplbench.method import Round, Settings, equal_weights

Weights = Literal["images", "equal"]


class WeightedByImages(Settings):
    """By default a client counts for its images."""

    weights: Weights = Field(
        "images",
        description="What a client counts for in the mean: its number of images (McMahan et al., "
        "algorithm 1, and most published code), or all alike (FedTPG's and PromptFL's code).",
    )


class WeightedAlike(Settings):
    """By default every client counts alike."""

    weights: Weights = Field(
        "equal",
        description="What a client counts for in the mean: all alike, as in the paper's algorithm, "
        "or its number of images, as FedAvg has it.",
    )


def chosen(weights: Weights, r: Round) -> Tensor:
    """[C], summing to one."""
    if weights == "equal":
        return equal_weights(r)
    return r.sizes.to(torch.float64) / r.sizes.sum()

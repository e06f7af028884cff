"""Which transport is solved, and when its iteration stops."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

FLOAT32_EPS = 0.025
"""From here on exp(-2 / eps), the smallest entry of a kernel, is a normal float32."""


@dataclass(frozen=True)
class Rule:
    """partial: patches give at most their share, and the prompts get `mass` of all; otherwise
    both marginals are met and mass is 1. eps: the weight of the entropy.

    The iteration stops at max_iter, or earlier, when the mean move of the scalings is below
    thresh: of v where partial, else of u, as in FedOTP's published code.
    """

    partial: bool
    mass: float
    eps: float
    thresh: float
    max_iter: int


def kernels_of(similarity: Tensor, eps: float) -> Tensor:
    """exp((S - 1) / eps), of S's shape; float64 where float32 would not hold it."""
    wide = similarity.double() if eps < FLOAT32_EPS else similarity
    return (wide - 1).div_(eps).exp_()

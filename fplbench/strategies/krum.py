"""Krum (Blanchard et al., NeurIPS 2017): the one client whose nearest others are nearest."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field

from fplbench.method import Round, Tensors
from fplbench.strategies._attacks import Attacked, Defence

EXACT = "donot_use_mm_for_euclid_dist"


class Krum(Defence):
    """s(c) = sum of ||w_c - w_i||^2 over the m - f - 2 clients i nearest to c
    w <- w_c of the least s(c); with `keep` more than one, the mean of the least (Multi-Krum)

    m clients of a round, f attackers that are allowed for, w: the shared tensors together.
    """

    name = "krum"
    title = "Krum"
    source = (
        "Blanchard et al., Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent, "
        "NeurIPS 2017"
    )
    variants: ClassVar = {"multi": {"keep": 2, "allowed": 0}}

    class Config(Attacked):
        allowed: int | None = Field(
            None,
            ge=0,
            description="f, how many attackers a round is thought to have at most. None: the share "
            "malicious of the round's clients, rounded up.",
        )
        keep: int = Field(
            1, ge=1, description="How many clients' mean is taken. 1: Krum; the paper, section 4."
        )

    config: Config

    def allowed(self, clients: int) -> int:
        """f for a round of so many clients."""
        if self.config.allowed is not None:
            return self.config.allowed
        # 0.07 of 100 is 7 although the product is a little more in floating point.
        return math.ceil(self.config.malicious * clients - 1e-9)

    def unfit(self) -> str | None:
        assert self.setup is not None
        m, keep = self.setup.at_once, self.config.keep
        f = self.allowed(m)
        if m < 2 * f + 3:
            return (
                f"Krum needs 2 f + 3 clients a round and has {m}, f being {f}: let more take part, "
                "or allow for fewer attackers"
            )
        if keep > m - f:
            return f"krum.keep is {keep}, of {m} clients with {f} attackers: keep at most {m - f}"
        return None

    def rule(self, uploads: Tensors, r: Round) -> Tensors:
        together = torch.cat([sent.flatten(1).double() for sent in uploads.values()], dim=1)
        squares = torch.cdist(together, together, compute_mode=EXACT).square()
        count = len(together)
        # The nearest to each is itself, at 0.
        near = squares.sort(dim=1).values[:, 1 : max(2, count - self.allowed(count) - 1)]
        kept = near.sum(1).argsort(stable=True)[: self.config.keep]
        return {name: sent[kept].double().mean(0).to(sent.dtype) for name, sent in uploads.items()}

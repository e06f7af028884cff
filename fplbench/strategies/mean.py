"""The plain mean among attackers: what the defences are compared with."""

from __future__ import annotations

from typing import ClassVar

from fplbench.strategies._attacks import Defence


class Mean(Defence):
    """w <- (1 / m) sum_c w_c, over the m clients of a round, attackers among them."""

    name = "mean"
    title = "mean, no defence"
    source = (
        "McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized "
        "Data, AISTATS 2017"
    )
    variants: ClassVar = {
        "labels": {"malicious": 0.4},
        "model": {"malicious": 0.4, "attack": "model"},
    }

"""Coordinate-wise median (Yin et al., ICML 2018): each number of the mean by itself."""

from __future__ import annotations

from fplbench.method import Round, Tensors
from fplbench.strategies._attacks import Defence


class Median(Defence):
    """w_k <- median_c of w_{c,k}, each coordinate k by itself               (algorithm 1, option I)

    The median of an even number is the mean of the middle two.
    """

    name = "median"
    title = "coordinate-wise median"
    source = (
        "Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, "
        "ICML 2018"
    )

    def rule(self, uploads: Tensors, r: Round) -> Tensors:
        # Sorted, since torch.quantile takes no more than 16 million numbers.
        ordered = {name: sent.sort(dim=0).values for name, sent in uploads.items()}
        return {n: (t[(len(t) - 1) // 2] + t[len(t) // 2]) / 2 for n, t in ordered.items()}

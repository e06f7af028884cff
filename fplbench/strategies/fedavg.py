"""FedAvg (McMahan et al., AISTATS 2017): the server takes the mean of what clients trained."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from fplbench.method import Round
from fplbench.strategies import _weights
from fplbench.strategy import Strategy


class FedAvg(Strategy):
    """w <- sum_c (n_c / n) w_c, over the clients of a round and their images n_c (algorithm 1)."""

    name = "fedavg"
    title = "FedAvg"
    source = (
        "McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized "
        "Data, AISTATS 2017"
    )
    variants: ClassVar = {"equal": {"weights": "equal"}}

    class Config(_weights.WeightedByImages):
        pass

    config: Config

    def weights(self, r: Round) -> Tensor:
        return _weights.chosen(self.config.weights, r)

"""FedProx (Li et al., MLSys 2020): FedAvg whose clients are held near what they received."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from fplbench.method import Batch, Task, Tensors
from fplbench.strategies.fedavg import FedAvg
from fplbench.strategy import squared_distance

START = "received."


class FedProx(FedAvg):
    """h_c(w) = F_c(w) + (mu / 2) ||w - w_t||^2                              (equation 2)

    w: the shared tensors, w_t: as they were received in round t. Private ones are left free.
    """

    name = "fedprox"
    adds = frozenset({"prox"})
    title = "FedProx"
    source = "Li et al., Federated Optimization in Heterogeneous Networks, MLSys 2020"
    variants: ClassVar = {"coded": {"gradient": False}}

    class Config(FedAvg.Config):
        mu: float = Field(
            1.0,
            ge=0,
            description="Weight of the proximal term. 1: the README of PromptFolio's repository, "
            "whose argument is off by default; the paper tries 0.001 to 1.",
        )
        gradient: bool = Field(
            True,
            description="Whether the term has a gradient. False: it is computed from detached "
            "values, as in the published code of FedPGP, FedOTP, PromptFolio, pFedMoAP and FedMGP, "
            "where it changes the printed loss and nothing else.",
        )

    config: Config

    def prepare(self, params: Tensors, received: Tensors, task: Task) -> Tensors:
        own = super().prepare(params, received, task)
        return own | {f"{START}{name}": sent for name, sent in received.items()}

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        terms = super().losses(params, batch, task)
        start = {
            name.removeprefix(START): sent
            for name, sent in batch.fixed.items()
            if name.startswith(START)
        }
        term = self.config.mu / 2 * squared_distance(params, start)
        return terms | {"prox": term if self.config.gradient else term.detach()}

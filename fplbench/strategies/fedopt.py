"""FedOpt (Reddi et al., ICLR 2021): the server steps along the clients' mean change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from fplbench.method import Param, Round, Tensors, mean_of
from fplbench.strategies.fedavg import FedAvg

MOMENT, SQUARE = "moment.", "square."


class FedOpt(FedAvg):
    """Delta = sum_c (n_c / n) (w_c - w), the clients' mean change        (algorithm 2, line 10)

    momentum  m <- beta1 m + Delta                       w <- w + lr m        (FedAvgM)
    adam      m <- beta1 m + (1 - beta1) Delta           w <- w + lr m / (sqrt(v) + tau)
              v <- beta2 v + (1 - beta2) Delta^2
    yogi      m as Adam's                                w as Adam's
              v <- v - (1 - beta2) Delta^2 sign(v - Delta^2)

    m and v stay on the server; m starts at 0, v at tau^2.
    """

    name = "fedopt"
    title = "FedOpt"
    source = "Reddi et al., Adaptive Federated Optimization, ICLR 2021"
    variants: ClassVar = {"momentum": {"optimizer": "momentum"}, "yogi": {"optimizer": "yogi"}}

    class Config(FedAvg.Config):
        optimizer: Literal["momentum", "adam", "yogi"] = Field(
            "adam",
            description="The server's rule: FedAvgM (Hsu et al., 2019), FedAdam or FedYogi. adam: "
            "ours among the three that the paper recommends.",
        )
        server_lr: float | None = Field(
            None,
            gt=0,
            description="The server's learning rate. None: 1 for momentum, as Hsu et al.; 0.01 for "
            "adam and yogi, of the paper's grid 10^-3 to 10^1, from which it takes one a task.",
        )
        beta1: float = Field(0.9, ge=0, lt=1, description="Decay of m. 0.9: the paper, section 5.")
        beta2: float = Field(
            0.99,
            ge=0,
            lt=1,
            description="Decay of v. 0.99: the paper, section 5; unused by momentum.",
        )
        tau: float = Field(
            1e-3, gt=0, description="Adaptivity. 10^-3: the paper, section 5; unused by momentum."
        )

    config: Config

    @property
    def rate(self) -> float:
        """The server's learning rate."""
        usual = 1.0 if self.config.optimizer == "momentum" else 0.01
        return self.config.server_lr or usual

    def begin(self, specs: Mapping[str, Param], total: int) -> Tensors:
        shared = super().begin(specs, total)
        moments = {f"{MOMENT}{name}": torch.zeros_like(t) for name, t in shared.items()}
        if self.config.optimizer == "momentum":
            return shared | moments
        squares = {
            f"{SQUARE}{name}": torch.full_like(t, self.config.tau**2) for name, t in shared.items()
        }
        return shared | moments | squares

    def aggregate(self, server: Tensors, uploads: Tensors, r: Round) -> Tensors:
        after = dict(server)
        for name, mean in mean_of(uploads, self.weights(r)).items():
            delta = mean - server[name]
            after[name] = server[name] + self.rate * self._step(after, name, delta)
        return after

    def _step(self, server: Tensors, name: str, delta: Tensor) -> Tensor:
        """The direction of a tensor's step; its m and v are put into `server`."""
        mine, before = self.config, server[f"{MOMENT}{name}"]
        if mine.optimizer == "momentum":
            server[f"{MOMENT}{name}"] = moment = mine.beta1 * before + delta
            return moment
        server[f"{MOMENT}{name}"] = moment = mine.beta1 * before + (1 - mine.beta1) * delta
        v, square = server[f"{SQUARE}{name}"], delta.square()
        if mine.optimizer == "adam":
            v = mine.beta2 * v + (1 - mine.beta2) * square
        else:
            v = v - (1 - mine.beta2) * square * torch.sign(v - square)
        server[f"{SQUARE}{name}"] = v
        return moment / (v.sqrt() + mine.tau)

    def download(self, server: Tensors, r: Round) -> Tensors:
        """The shared tensors; m and v stay."""
        return super().download({name: server[name] for name in r.shared}, r)

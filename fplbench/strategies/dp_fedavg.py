"""DP-FedAvg (McMahan et al., ICLR 2018): whole clients are protected, by noise at the server."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from fplbench.method import Round, Tensors, equal_weights, mean_of
from fplbench.strategies import _accounting
from fplbench.strategies._accounting import Budget, FixedSample
from fplbench.strategy import Fact, Strategy, squared_distance

ASSUMED = (
    "The server is trusted and adds the noise. {} of {} clients are drawn without replacement in "
    "each of {} rounds, secretly; one client is replaced by another, and their number is known. "
    "Covered is what the server sends; a client's private tensors stay with it, and are not."
)


class DPFedAvg(Strategy):
    """Delta_c = w_c - w,  clipped to Delta_c min(1, S / ||Delta_c||)       (FlatClip, algorithm 1)
    w <- w + (1 / m) (sum_c Delta_c + N(0, (z S)^2))

    over the m clients of a round, each counting alike, the shared tensors together. The paper draws
    clients by coins; m is fixed here, so the denominator is m and no estimate, and the accounting
    is that of sampling without replacement.
    """

    name = "dp-fedavg"
    title = "DP-FedAvg"
    source = "McMahan et al., Learning Differentially Private Recurrent Language Models, ICLR 2018"
    variants: ClassVar = {"budget": {"epsilon": 8.0, "clip": 1e-3}}

    class Config(Budget):
        clip: float = Field(
            0.01,
            gt=0,
            description="S, the largest norm of a client's change in a round. 0.01: ours, see "
            "docs/privacy.md; the paper tunes it for its language model.",
        )

    config: Config

    @property
    def releases(self) -> list[FixedSample]:
        """What leaves the server in the whole run."""
        if self.setup is None:
            return []
        run = self.setup
        return [FixedSample(len(run.clients), run.at_once, run.training.rounds)]

    @property
    def noise(self) -> float:
        """z; as the settings name it where no run is known."""
        return _accounting.noise_of(self.config, self.releases)

    def unfit(self) -> str | None:
        return _accounting.unfit(self.config, self.releases)

    def facts(self) -> dict[str, Fact]:
        (run,) = self.releases
        assumed = ASSUMED.format(run.drawn, run.total, run.times)
        return _accounting.facts(self.config, [run], "all images of a client", assumed)

    def weights(self, r: Round) -> Tensor:
        return equal_weights(r)

    def aggregate(self, server: Tensors, uploads: Tensors, r: Round) -> Tensors:
        means = mean_of(self.clipped(server, uploads), self.weights(r))
        std = self.noise * self.config.clip / len(r.clients)
        after = {}
        for name, mean in means.items():
            g = r.generator(f"noise.{name}", None)
            z = torch.randn(mean.shape, generator=g, dtype=torch.float64)
            after[name] = server[name] + mean + (std * z).to(mean)
        return after

    def clipped(self, server: Tensors, uploads: Tensors) -> Tensors:
        """The clients' changes, each [C, ...], with norms of at most S over all of them."""
        norms = squared_distance(uploads, {name: server[name] for name in uploads}).sqrt()
        shorter = (self.config.clip / norms.clamp(min=1e-30)).clamp(max=1)
        return {
            name: (sent - server[name]) * shorter.view(-1, *[1] * (sent.dim() - 1))
            for name, sent in uploads.items()
        }

"""DP-SGD (Abadi et al., CCS 2016) on the clients: images are protected, by noise on each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Tensors
from fplbench.strategies import _accounting
from fplbench.strategies._accounting import Budget, PoissonSample
from fplbench.strategies.fedavg import FedAvg
from fplbench.strategy import Fact

ASSUMED = (
    "Nobody is trusted but the client itself, which adds the noise. Each image is in a batch by a "
    "coin of its own, secretly; one image more or less, while clients' numbers of images and the "
    "rounds that each takes part in are known. Epsilon is that of the client with the least "
    "protection. Covered is all that a client trains, sends and is tested with."
)


class DPSGD(FedAvg):
    """Each step of a client with n images, of which each is in the batch with probability B / n:

    g <- (1 / B) (sum_i g_i min(1, C / ||g_i||) + N(0, (z C)^2))                     (algorithm 1)

    g_i: the gradient of image i alone, its norm that of all trained tensors together, private ones
    too. The step along g, its momentum, FedAvg and all else come after the noise.
    """

    name = "dp-sgd"
    title = "DP-SGD"
    source = "Abadi et al., Deep Learning with Differential Privacy, CCS 2016"
    variants: ClassVar = {"budget": {"epsilon": 8.0, "clip": 1e-3}}

    class Config(Budget, FedAvg.Config):
        clip: float = Field(
            0.5,
            gt=0,
            description="C, the largest norm of an image's gradient. 0.5: ours, docs/privacy.md; "
            "the paper takes the median of the norms, section 4.",
        )

    config: Config

    @property
    def by_image(self) -> bool:
        return True

    @property
    def releases(self) -> list[PoissonSample]:
        """The steps of each client in the whole run."""
        if self.setup is None:
            return []
        size, epochs = self.setup.training.batch_size, self.setup.training.local_epochs
        return [
            PoissonSample(min(1.0, size / images), rounds * epochs * -(-images // size))
            for images, rounds in zip(self.setup.sizes, self.setup.rounds, strict=True)
            if rounds
        ]

    @property
    def noise(self) -> float:
        """z; as the settings name it where no run is known."""
        return _accounting.noise_of(self.config, self.releases)

    def unfit(self) -> str | None:
        assert self.setup is not None
        if self.setup.training.new_clients:
            return (
                "new clients train before their second test, and those steps are not counted: "
                "leave new_clients out"
            )
        return _accounting.unfit(self.config, self.releases)

    def facts(self) -> dict[str, Fact]:
        return _accounting.facts(self.config, self.releases, "a single image", ASSUMED)

    def refusal(self, specs: Mapping[str, Param]) -> str | None:
        if self.learner.remembers:
            return "it keeps images of its clients beside what is trained, which no noise covers"
        if type(self.learner).after_step is not Method.after_step:
            return "it changes tensors behind the step, past the noise"
        return super().refusal(specs)

    def of_images(self, grads: Tensors, batch: Batch) -> Tensors:
        squares = torch.stack([g.flatten(2).square().sum(2) for g in grads.values()]).sum(0)
        shorter = (self.config.clip / squares.sqrt().clamp(min=1e-30)).clamp(max=1)  # [C, B]
        sums = {name: torch.einsum("cb,cb...->c...", shorter, g) for name, g in grads.items()}
        std = self.noise * self.config.clip
        noisy = {name: g + std * self.drawn(name, g, batch) for name, g in sums.items()}
        return super().of_images({name: g[:, None] for name, g in noisy.items()}, batch)

    def drawn(self, name: str, like: Tensor, batch: Batch) -> Tensor:
        """Standard normal, from each client's own generator of the step."""
        shape = like.shape[1:]
        z = batch.draw(f"noise.{name}", lambda g: torch.randn(shape, generator=g))
        return z.to(like.dtype)

"""FedAMP (Huang et al., AAAI 2021): each client is drawn to a mean of those that are like it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Param, Round, Settings, Task, Tensors
from fplbench.strategy import Strategy, squared_distance

CLOUD = "cloud."
HEARD = "heard"


class FedAMP(Strategy):
    """w_c private; the server keeps a cloud u_c of each client and sends it to that client alone.

    u_i = (1 - sum_j xi_ij) w_i + sum_{j != i} xi_ij w_j     over the round's clients (equation 4)
    xi_ij = alpha A'(||w_i - w_j||^2),   A(x) = 1 - exp(-x / sigma)                (equations 5, 7)
    loss_i = F_i(w_i) + lambda / (2 alpha) ||w_i - u_i||^2                             (equation 6)

    w: all trained tensors together, but for those whose rate is 0. A client that never took part
    has no cloud and no penalty.
    """

    name = "fedamp"
    adds = frozenset({"penalty"})
    title = "FedAMP"
    source = "Huang et al., Personalized Cross-Silo Federated Learning on Non-IID Data, AAAI 2021"
    variants: ClassVar = {
        "published": {"attention": "published", "penalty": "distance"},
        "coded": {"penalty": "distance", "gradient": False},
    }

    class Config(Settings):
        lam: float = Field(
            1.0, ge=0, description="lambda, weight of the penalty. 1: PromptFolio's argument."
        )
        sigma: float = Field(
            1.0,
            gt=0,
            description="How far clients are alike. 1: the argument of PromptFolio's code.",
        )
        alpha: float | None = Field(
            None,
            gt=0,
            description="alpha, the server's step, which must leave sum_j xi_ij below 1. None: "
            "sigma over the clients of a round, so that of m equal clients each keeps 1 / m of its "
            "own; ours, as the published code has none.",
        )
        attention: Literal["paper", "published"] = Field(
            "paper",
            description="xi. paper: A', which falls with the distance. published: 1 - exp(+||w_i - "
            "w_j|| / sigma) as promptflFedAMP.py has it, which is negative and drives apart.",
        )
        penalty: Literal["squared", "distance"] = Field(
            "squared",
            description="squared: the paper's. distance: lambda ||w_i - u_i||, as in "
            "promptflFedAMP.py.",
        )
        gradient: bool = Field(
            True,
            description="Whether the penalty has a gradient. False: it is computed from detached "
            "values, as in the published code.",
        )

    config: Config

    @property
    def alpha(self) -> float:
        if self.config.alpha is not None:
            return self.config.alpha
        assert self.setup is not None
        return self.config.sigma / self.setup.at_once

    def unfit(self) -> str | None:
        assert self.setup is not None
        m, xi = self.setup.at_once, self.alpha / self.config.sigma
        if self.config.attention == "published" or xi * (m - 1) < 1:
            return None
        return (
            f"alpha / sigma is {xi:g}, and of {m} clients a round a client would keep less than "
            "nothing of its own: choose a smaller fedamp.alpha, or leave it out"
        )

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        specs = self.learner.init(task, generator)
        return {name: replace(spec, shared=False) for name, spec in specs.items()}

    def begin(self, specs: Mapping[str, Param], total: int) -> Tensors:
        clouds = {
            f"{CLOUD}{name}": spec.value.expand(total, *spec.value.shape).clone()
            for name, spec in specs.items()
            if spec.trained and spec.lr_scale
        }
        return clouds | {HEARD: torch.zeros(total, dtype=torch.bool)}

    def upload(self, params: Tensors, r: Round) -> Tensors:
        """All that is trained: what has a cloud."""
        clouds = (n.removeprefix(CLOUD) for n in params if n.startswith(CLOUD))
        return {name: params[name] for name in clouds}

    def aggregate(self, server: Tensors, uploads: Tensors, r: Round) -> Tensors:
        after = {name: t.clone() for name, t in server.items()}
        for name, cloud in self.clouds(uploads).items():
            after[f"{CLOUD}{name}"][r.clients] = cloud
        after[HEARD][r.clients] = True
        return after

    def clouds(self, uploads: Tensors) -> Tensors:
        """u of each of the C clients that sent w [C, ...]; xi is [C, C]."""
        together = torch.cat([sent.flatten(1) for sent in uploads.values()], dim=1)
        squares = torch.cdist(together[None], together[None], compute_mode=EXACT)[0].square()
        xi = self.attention(squares).fill_diagonal_(0)
        mixing = torch.diag(1 - xi.sum(1)) + xi
        return {n: torch.einsum("ij,j...->i...", mixing, sent) for n, sent in uploads.items()}

    def attention(self, squares: Tensor) -> Tensor:
        """xi, of squared distances."""
        mine = self.config
        if mine.attention == "published":
            return 1 - torch.exp(squares.sqrt() / mine.sigma)
        return self.alpha / mine.sigma * torch.exp(-squares / mine.sigma)

    def download(self, server: Tensors, r: Round) -> Tensors:
        """A client's own cloud, and whether it has one."""
        return {name: t[r.clients.to(t.device)] for name, t in server.items()}

    def merge(self, params: Tensors, received: Tensors) -> Tensors:
        """A client goes on from its own tensors; the cloud lies beside them."""
        return params | received

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        clouds = {n.removeprefix(CLOUD): t for n, t in params.items() if n.startswith(CLOUD)}
        squares = squared_distance(params, clouds)
        if self.config.penalty == "distance":
            # The root has no gradient at 0, where the penalty has its least value.
            term = self.config.lam * torch.where(squares > 0, squares, 1).sqrt() * (squares > 0)
        else:
            term = self.config.lam / (2 * self.alpha) * squares
        term = term * params[HEARD]
        terms = super().losses(params, batch, task)
        return terms | {"penalty": term if self.config.gradient else term.detach()}

    def alone(self, params: Tensors, shared: Collection[str]) -> Tensors | None:
        """Nobody's model is shared."""
        return None


EXACT = "donot_use_mm_for_euclid_dist"

"""DP-FPL (Tran et al., ICLR 2025): a private prompt by low-rank factors, with differential privacy.

Equations as in the paper, "Privacy-Preserving Personalized Federated Prompt Learning for Multimodal
Large Language Models"; details after the authors' code, linhhtran/DP-FPL at cce74b4.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Round, Task, Tensors, equal_weights
from fplbench.prompts import (
    INIT_STD,
    ContextSettings,
    cosine_logits,
    start_context,
    text_features,
)


class DPFPL(Method):
    """prompt_c = G + P_c,   G shared, P_c private, at every step P = U V + R by a power iteration:
    W ~ N(0, 1) [d, r],   U = GS(P W),   V = GS(P' U)',   R = P - U V, constant   (Gram-Schmidt)

    g the gradient of the prompt: g_U = g V', g_V = U' g. g, g_U, g_V are clipped to norm C; to
    g_U and g_V noise of std sigma is added, to g noise of std sigma / users, one draw for all
    clients; P steps along (g_U V + U g_V + U U' g_U V) / 10, G along the mean of the clients' g.
    sigma = (C / B) sqrt(T ln(1 / delta)) / epsilon;   epsilon = 0: neither clipping nor noise.

    The paper's server takes that mean after every step. Here clients step by themselves until the
    round ends and the server takes the mean of G, which is the same where a round is one step.
    """

    name = "dpfpl"
    title = "DP-FPL"
    source = (
        "Tran et al., Privacy-Preserving Personalized Federated Prompt Learning for Multimodal "
        "Large Language Models, ICLR 2025"
    )
    variants: ClassVar = {"private": {"epsilon": 20.0, "clip": 0.02, "rank": 3}}

    class Config(ContextSettings):
        rank: int = Field(
            8, ge=1, description="r, the rank of U V, at most n. 8: federated_main.py:242."
        )
        clip: float = Field(
            10.0, gt=0, description="C, the largest norm of a gradient. 10: federated_main.py:243."
        )
        epsilon: float = Field(
            0.0,
            ge=0,
            description="The privacy budget; 0: no privacy, as federated_main.py:244, where it is "
            "called noise (the README has 0.4).",
        )
        delta: float = Field(
            1e-5, gt=0, lt=1, description="The budget's other part. 1e-5: trainers/DP_FPL.py:258."
        )
        steps: int = Field(
            100,
            ge=1,
            description="T, over how many steps the budget is spent. 100: the published rounds.",
        )
        users: int = Field(
            10,
            ge=1,
            description="Clients whose gradients the server averages. 10: federated_main.py:235.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        shared = start_context(self.config, task, generator)
        # Words are G's to start from: the prompt is G + P, and P's start is small.
        private = torch.empty_like(shared).normal_(0, INIT_STD, generator=generator)
        return {"ctx_global": Param(shared), "ctx_local": Param(private, shared=False)}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        ctx = params["ctx_global"] + params["ctx_local"]
        return {"t": text_features(ctx, task, self.config.position)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, text["t"], task)

    def factors(self, private: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """U [C, n, r] and V [C, r, d] of P [C, n, d]."""
        length, width = private.shape[1:]
        rank = min(self.config.rank, length, width)  # more columns would depend on the others
        w = batch.draw("W", lambda g: torch.randn(width, rank, generator=g)).to(private.dtype)
        u = gram_schmidt(private @ w)
        return u, gram_schmidt(private.mT @ u).mT

    def gradients(self, by_term: dict[str, Tensors], params: Tensors, batch: Batch) -> Tensors:
        g = by_term["ce"]["ctx_global"]
        u, v = self.factors(params["ctx_local"], batch)
        std = self.std(batch)
        g_u = self.noised(g @ v.mT, "noise_U", std, batch) / 10
        g_v = self.noised(u.mT @ g, "noise_V", std, batch) / 10
        local = g_u @ v + u @ g_v + u @ (u.mT @ (g_u @ v))
        shared = self.noised(g, "noise_server", std / self.config.users, batch, alike=True)
        return {"ctx_global": shared, "ctx_local": local}

    def std(self, batch: Batch) -> Tensor:
        """sigma of each client, [C, 1, 1]; 0 without privacy."""
        config = self.config
        images = batch.mask.sum(1).clamp(min=1).view(-1, 1, 1)
        if not config.epsilon:
            return torch.zeros_like(images, dtype=batch.pooled.dtype)
        spent = math.sqrt(config.steps * math.log(1 / config.delta)) / config.epsilon
        std: Tensor = config.clip / images.to(batch.pooled.dtype) * spent
        return std

    def noised(
        self, g: Tensor, purpose: str, std: Tensor, batch: Batch, alike: bool = False
    ) -> Tensor:
        """g [C, ., .], clipped and with noise, where privacy is asked for."""
        if not self.config.epsilon:
            return g
        shape = g.shape[1:]
        z = batch.draw(purpose, lambda gen: torch.randn(shape, generator=gen), alike=alike)
        return self.clipped(g) + std * z.to(g.dtype)

    def clipped(self, g: Tensor) -> Tensor:
        """g [C, ., .] with norms of at most C."""
        norms = g.flatten(1).norm(dim=1).view(-1, 1, 1)
        shorter: Tensor = g * (self.config.clip / norms.clamp(min=1e-12)).clamp(max=1)
        return shorter

    def weights(self, r: Round) -> Tensor:
        return equal_weights(r)

    def shared_only(self, params: Tensors) -> Tensors | None:
        """G alone."""
        return params | {"ctx_local": torch.zeros_like(params["ctx_local"])}


def gram_schmidt(x: Tensor) -> Tensor:
    """The columns of [C, ., r], left to right, made orthonormal."""
    columns = list(x.unbind(-1))
    for i, column in enumerate(columns):
        columns[i] = column = column / column.norm(dim=-1, keepdim=True)
        for j in range(i + 1, len(columns)):
            share = (column * columns[j]).sum(-1, keepdim=True)
            columns[j] = columns[j] - share * column
    return torch.stack(columns, dim=-1)

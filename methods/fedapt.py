"""FedAPT: class prompts that fixed keys turn into a domain's, and a query that tells the domain.

Equations and details after the authors' code, leondada/FedAPT at 2f8060a, supervised.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.method import (
    Batch,
    Method,
    Param,
    Round,
    Task,
    Tensors,
    cross_entropy,
    equal_weights,
    masked_mean,
)
from fplbench.prompts import ContextSettings, start_context

PROMPTS_AT_ONCE = 2**10
"""Prompts (clients x images x classes) that are answered together."""


class FedAPT(Method):
    """Clients are domains e = 1 .. E. keys [E, n, d] ~ U(0, 1), known to all and never trained.

    training     prompt_k = ctx_k (1 + keys_e);   L = CE(s v . t_k) + CE(query f, e)
    prediction   w = softmax(standardised(query f) / temperature) over the E domains
                 prompt_k = ctx_k (1 + sum_e w_e keys_e), for each image
    ctx [K, n, d] has a context for each class; f: the image's feature, not of unit length. All that
    is trained is shared, and the server's mean counts all clients alike.
    """

    name = "fedapt"
    title = "FedAPT"
    source = (
        "Su et al., Federated Adaptive Prompt Tuning for Multi-Domain Collaborative Learning, "
        "AAAI 2024"
    )
    inputs = frozenset({"pooled", "norms"})

    variants: ClassVar = {"two_domains": {"domains": 2}}

    class Config(ContextSettings):
        domains: int = Field(
            0,
            ge=0,
            description="E, where several clients are one domain: they then come domain by "
            "domain, as many of each. 0: each client is a domain of its own, as in the paper.",
        )
        temperature: float = Field(
            0.01, gt=0, description="Of the domains' weights. 0.01: prompt-ours.py, parser."
        )

    config: Config

    @property
    def count(self) -> int:
        """E; two at least, as scores of one domain have no variance."""
        return max(2, self.config.domains or (len(self.setup.sizes) if self.setup else 0))

    def unfit(self) -> str | None:
        assert self.setup is not None
        clients, domains = len(self.setup.sizes), self.config.domains
        if len(self.setup.clients) < clients:
            return "a new client is of a domain whose key and query nobody has trained"
        if domains != 1 and (not domains or clients % domains == 0):
            return None
        return f"{clients} clients are not as many of each of {domains} domains (fedapt.domains)"

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        ctx = start_context(self.config, task, generator, len(task.classnames))
        keys = torch.rand(self.count, *ctx.shape[1:], generator=generator)
        query = torch.empty(self.count, task.embed_dim)
        return {
            "ctx": Param(ctx),
            "query": Param(query.normal_(0, 0.02, generator=generator)),
            "keys": Param(keys, trained=False, shared=False),
        }

    def download(self, server: Tensors, r: Round) -> Tensors:
        """Beside the server's tensors, which domain a client is."""
        return super().download(server, r) | {"domain": r.clients * self.count // r.total}

    def merge(self, params: Tensors, received: Tensors) -> Tensors:
        return params | received

    def weights(self, r: Round) -> Tensor:
        return equal_weights(r)

    def domains(self, params: Tensors, batch: Batch) -> Tensor:
        """query f, [C, B, E]."""
        assert batch.norms is not None
        return (batch.pooled * batch.norms[..., None]) @ params["query"].mT

    def of_domain(self, params: Tensors, task: Task) -> Tensor:
        """t of the client's own domain, [C, K, D]."""
        lines = torch.arange(len(params["keys"]), device=params["keys"].device)
        key = params["keys"][lines, params["domain"]]  # [C, n, d]
        contexts = params["ctx"] * (1 + key[:, None])  # [C, K, n, d]
        found = task.encode_prompts(contexts[:, None], self.config.position)
        return F.normalize(found.squeeze(1), dim=-1)

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        logits = task.logit_scale * batch.pooled @ self.of_domain(params, task).mT
        found = self.domains(params, batch)
        wanted = params["domain"][:, None].expand(found.shape[:2])
        each = F.cross_entropy(found.flatten(0, 1), wanted.flatten(), reduction="none")
        domain = masked_mean(each.view(found.shape[:2]), batch.mask)
        return {"ce": cross_entropy(logits, batch), "domain": domain}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        scores = self.domains(params, batch)
        mean, variance = scores.mean(-1, keepdim=True), scores.var(-1, keepdim=True)
        shares = ((scores - mean) / variance.sqrt() / self.config.temperature).softmax(-1)
        mixed = torch.einsum("cbe,cend->cbnd", shares, params["keys"])
        count = len(batch.pooled) * len(task.classnames)
        size = max(1, PROMPTS_AT_ONCE // count)
        parts = [
            self._scored(params["ctx"], key, images, task)
            for key, images in zip(mixed.split(size, 1), batch.pooled.split(size, 1), strict=True)
        ]
        return torch.cat(parts, dim=1)

    def _scored(self, ctx: Tensor, key: Tensor, images: Tensor, task: Task) -> Tensor:
        """[C, B, K], each image with prompts of its own."""
        contexts = ctx[:, None] * (1 + key[:, :, None])  # [C, B, K, n, d]
        t = F.normalize(task.encode_prompts(contexts, self.config.position), dim=-1)
        return task.logit_scale * torch.einsum("cbd,cbkd->cbk", images, t)

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params

    def supports(self, task: Task, metric: str, trained: Task) -> bool:
        """There are contexts of the trained classes alone."""
        return task.classnames == trained.classnames

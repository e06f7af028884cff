"""pFedMoAP (Luo et al., ICLR 2025): other clients' prompts as experts, mixed by a private gate.

Equations as in the paper, "Mixture of Experts Made Personalized: Federated Prompt Learning for
Vision-Language Models"; details after the authors' code, ljaiverson/pFedMoAP at a481de3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.clip.layers import linear, start_linear
from fplbench.method import Batch, Method, Param, Round, Task, Tensors, cross_entropy, mean_of
from fplbench.prompts import ContextSettings, cosine_logits, start_context, text_features

GATES = ("q", "k", "v", "o")
IDLE = ("gate_k_bias", "gate_v_bias", "gate_o_bias")
"""These add the same to all experts' scores, or to all classes' logits: their gradient is zero."""


class PFedMoAP(Method):
    """logits_k = lambda s v . t_k + s pool(v) . MHA_k
    MHA_k: query pool(v); keys and values the E features of class k, pooled: the client's own,
           then its experts', frozen for the round

    pool takes every (D / g)-th feature. Scores are multiplied by `scaling`. The prompt starts a
    round from the mean of all clients' prompts of the last one, and is sent; the gate never is.
    A client that has no expert yet has logits s v . t_k and leaves its gate alone.
    """

    name = "pfedmoap"
    title = "pFedMoAP"
    source = (
        "Luo et al., Mixture of Experts Made Personalized: Federated Prompt Learning for "
        "Vision-Language Models, ICLR 2025"
    )
    variants: ClassVar = {
        "random": {"experts": "random"},
        "published": {"experts": "published"},
    }

    class Config(ContextSettings):
        num_experts: int = Field(
            10, ge=2, description="E, experts with the client's own. 10: federated_main.py:44."
        )
        experts: Literal["nearest", "random", "published"] = Field(
            "nearest",
            description="Which clients' prompts a client is sent. nearest: the paper. random: "
            "drawn each round. published: the first of one order of all clients for the whole run, "
            "as the code does whatever its argument says.",
        )
        lmbda: float = Field(
            0.5, ge=0, description="lambda, weight of the client's own. 0.5: federated_main.py:47."
        )
        scaling: float = Field(
            10.0, gt=0, description="Of the gate's scores. 10: federated_main.py:48."
        )
        gate_dim: int = Field(
            128, ge=1, description="g, features that the gate sees. 128: federated_main.py:46."
        )
        gate_heads: int = Field(8, ge=1, description="Heads of the gate. 8: federated_main.py:45.")
        gate_lr: float = Field(
            5.0,
            gt=0,
            description="Learning rate of the gate over that of the prompt. 5: 0.01 and 0.002 in "
            "the published rn50.yaml, whose own is constant while the prompt's falls.",
        )

    config: Config

    def width(self, task: Task) -> int:
        """g, at most the joint width, and a multiple of the heads."""
        most = min(self.config.gate_dim, task.embed_dim)
        return most - most % self.config.gate_heads

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        specs = {"ctx": Param(start_context(self.config, task, generator))}
        for gate in GATES:
            weight, bias = start_linear(self.width(task), self.width(task), generator)
            for name, value in ((f"gate_{gate}", weight), (f"gate_{gate}_bias", bias)):
                specs[name] = Param(
                    value, shared=False, lr_scale=self.config.gate_lr, idle=name in IDLE
                )
        return specs

    def pooled(self, features: Tensor, task: Task) -> Tensor:
        """pool, [..., g]."""
        width = self.width(task)
        return features[..., :: features.shape[-1] // width][..., :width]

    def encode(self, params: Tensors, task: Task) -> Tensors:
        """t [C, K, D], and the experts' pooled, e [C, E - 1, K, g]."""
        text = {"t": text_features(params["ctx"], task, self.config.position)}
        return text | {"e": self.of_experts(params, task)}

    def of_experts(self, params: Tensors, task: Task) -> Tensor:
        """[C, E - 1, K, g]."""
        found = task.encode_prompts(params["experts"], self.config.position)
        return self.pooled(F.normalize(found, dim=-1), task)

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        own = cosine_logits(batch.pooled, text["t"], task)
        mixed = self.config.lmbda * own + task.logit_scale * self.gated(params, text, batch, task)
        return torch.where(params["known"].any(1)[:, None, None], mixed, own)

    def gated(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        """pool(v) . MHA_k, [C, B, K]."""
        # In float64: experts are so alike that the gate's gradients are what is left of sums that
        # cancel.
        gate = {name: t.double() for name, t in params.items() if name.startswith("gate")}
        images = self.pooled(batch.pooled, task).double()  # [C, B, g]
        features = torch.cat([self.pooled(text["t"], task)[:, None], text["e"]], dim=1).double()
        heads = self.config.gate_heads
        q = linear(images, gate["gate_q"], gate["gate_q_bias"]).unflatten(-1, (heads, -1))
        k, v = (  # [C, E, K, H, g/H]
            linear(features, gate[f"gate_{x}"], gate[f"gate_{x}_bias"].detach()).unflatten(
                -1, (heads, -1)
            )
            for x in "kv"
        )
        scores = self.config.scaling * torch.einsum("cbhx,cekhx->cbkhe", q, k)
        there = F.pad(params["known"], (1, 0), value=True)  # its own always is
        shares = scores.masked_fill(~there[:, None, None, None], float("-inf")).softmax(-1)
        mixed = torch.einsum("cbkhe,cekhx->cbkhx", shares, v).flatten(-2)
        out = linear(mixed, gate["gate_o"], gate["gate_o_bias"].detach())
        return torch.einsum("cbx,cbkx->cbk", images, out).to(batch.pooled.dtype)

    def prepare(self, params: Tensors, received: Tensors, task: Task) -> Tensors:
        return {"experts": self.of_experts(params, task)}

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        own = text_features(params["ctx"], task, self.config.position)
        text = {"t": own, "e": batch.fixed["experts"]}
        return {"ce": cross_entropy(self.logits(params, text, batch, task), batch)}

    def begin(self, specs: Mapping[str, Param], total: int) -> Tensors:
        """Every client's last prompt beside their mean."""
        ctx = specs["ctx"].value
        every = ctx.expand(total, *ctx.shape).clone()
        none = torch.zeros(total, dtype=torch.bool)
        return super().begin(specs, total) | {"prompts": every, "trained": none}

    def aggregate(self, server: Tensors, uploads: Tensors, r: Round) -> Tensors:
        prompts, trained = server["prompts"].clone(), server["trained"].clone()
        prompts[r.clients], trained[r.clients] = uploads["ctx"], True
        kept = {"prompts": prompts, "trained": trained}
        if self.config.experts == "published":
            drawn = torch.randperm(r.total, generator=r.generator("order", None))
            kept["order"] = server.get("order", drawn)
        return mean_of(uploads, self.weights(r)) | kept

    def chosen(self, server: Tensors, client: int, r: Round) -> list[int]:
        """Whose prompts the client is sent."""
        others = [c for c in self.order(server, client, r) if c != client]
        trained = [c for c in others if bool(server["trained"][c])]
        return trained[: self.config.num_experts - 1]

    def order(self, server: Tensors, client: int, r: Round) -> list[int]:
        """All clients, those first that are to be its experts."""
        if self.config.experts == "published":
            return server["order"].tolist() if "order" in server else []
        if self.config.experts == "random":
            return torch.randperm(r.total, generator=r.generator("experts", client)).tolist()
        apart = (server["prompts"] - server["prompts"][client]).flatten(1).norm(dim=1)
        return torch.argsort(apart, stable=True).tolist()

    def download(self, server: Tensors, r: Round) -> Tensors:
        """The mean for all; for each its experts, and which of them there are."""
        most = max(1, min(self.config.num_experts, r.total) - 1)
        shape = (len(r.clients), most)
        experts = server["ctx"].expand(*shape, *server["ctx"].shape).clone()
        known = torch.zeros(shape, dtype=torch.bool)
        for row, client in enumerate(r.clients.tolist()):
            found = self.chosen(server, client, r)
            experts[row, : len(found)] = server["prompts"][found]
            known[row, : len(found)] = True
        mean = super().download({"ctx": server["ctx"]}, r)
        return mean | {"experts": experts, "known": known}

    def merge(self, params: Tensors, received: Tensors) -> Tensors:
        return params | received

    def shared_only(self, params: Tensors) -> Tensors | None:
        """The mean prompt without experts."""
        nobody = torch.zeros(len(params["ctx"]), 1, dtype=torch.bool, device=params["ctx"].device)
        return params | {"experts": params["ctx"][:, None], "known": nobody}

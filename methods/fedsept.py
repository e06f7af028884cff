"""FedSEPT: low-rank shared experts and a private router and context.

Equations and details after the authors' code, yuCoryx/FedSEPT at d2fc0a4, trainers/FEDSEPT.py.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.clip.layers import layer_norm, linear, start_linear, start_xavier
from fplbench.method import Batch, Method, Param, Task, Tensors, cross_entropy
from fplbench.prompts import INIT_STD, ContextSettings, start_context


class FedSEPT(Method):
    """prompt of expert m   A_m B_0 + R:   A_m [n, r] shared, R [n, d] private, B_0 [r, d] fixed
    gate    softmax(W LN(W_o (W_v v + b_v) + b_o) + b), of the image's feature v, private
    logits  sum_m gate_m s v . t_m;   L = CE + lambda mean_{m != m'} cos^2(A_m, A_m')

    The router is attention over a single token, so its query and its keys never matter.
    """

    name = "fedsept"
    title = "FedSEPT"
    source = "the code of FedSEPT, yuCoryx/FedSEPT, 2025"
    variants: ClassVar = {"two": {"num_experts": 2, "rank": 4}}

    class Config(ContextSettings):
        num_experts: int = Field(
            4, ge=1, description="M, experts of the prompt. 4: federated_main.py:612."
        )
        rank: int = Field(
            16, ge=1, description="r, the rank of an expert's prompt. 16: federated_main.py:613."
        )
        lam: float = Field(
            10.0, ge=0, description="lambda, weight of the diversity. 10: federated_main.py:614."
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        local, d = start_context(self.config, task, generator), task.embed_dim
        count, rank = self.config.num_experts, self.config.rank
        experts = torch.empty(count, len(local), rank).normal_(0, INIT_STD, generator=generator)
        basis = torch.empty(rank, task.width).normal_(0, rank**-0.5, generator=generator)
        specs = {
            "experts": Param(experts),
            "basis": Param(basis, trained=False, shared=False),
            "local": Param(local, shared=False),
        }
        head, head_bias = start_linear(count, d, generator)
        router = {
            "router_query": torch.zeros(1, d),
            "router_qkv": start_xavier(3 * d, d, generator),
            "router_qkv_bias": torch.zeros(3 * d),
            "router_out": start_linear(d, d, generator)[0],
            "router_out_bias": torch.zeros(d),
            "router_norm": torch.ones(d),
            "router_norm_bias": torch.zeros(d),
            "router_head": head,
            "router_head_bias": head_bias,
        }
        return specs | {
            name: Param(value, shared=False, decay_scale=0.0, trained=name != "router_query")
            for name, value in router.items()
        }

    def encode(self, params: Tensors, task: Task) -> Tensors:
        contexts = params["experts"] @ params["basis"][:, None] + params["local"][:, None]
        found = task.encode_prompts(contexts, self.config.position)
        return {"t": F.normalize(found, dim=-1)}  # [C, M, K, D]

    def gate(self, params: Tensors, images: Tensor) -> Tensor:
        """[C, B, M]."""
        # In float64: experts start so alike that the router's gradients are what is left of sums
        # that cancel.
        d, router = (
            images.shape[-1],
            {name: t.double() for name, t in params.items() if name.startswith("router")},
        )
        value, bias = router["router_qkv"][:, 2 * d :], router["router_qkv_bias"][:, 2 * d :]
        x = linear(images.double(), value, bias)
        x = linear(x, router["router_out"], router["router_out_bias"])
        x = layer_norm(x, router["router_norm"], router["router_norm_bias"])
        shares = linear(x, router["router_head"], router["router_head_bias"]).softmax(-1)
        return shares.to(images.dtype)

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        gate = self.gate(params, batch.pooled).double()
        each = torch.einsum("cbd,cmkd->cbmk", batch.pooled.double(), text["t"].double())
        mixed = torch.einsum("cbm,cbmk->cbk", gate, each).to(batch.pooled.dtype)
        return task.logit_scale * mixed

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        logits = self.logits(params, self.encode(params, task), batch, task)
        diversity = self.config.lam * self.diversity(params["experts"])
        return {"ce": cross_entropy(logits, batch), "diversity": diversity}

    def diversity(self, experts: Tensor) -> Tensor:
        """[C]: the mean over ordered pairs of two experts."""
        count = experts.shape[1]
        if count == 1:
            return experts.new_zeros(len(experts))
        unit = F.normalize(experts.flatten(2), dim=-1)
        squares = (unit @ unit.mT).square()
        apart = ~torch.eye(count, dtype=torch.bool, device=experts.device)
        return (squares * apart).sum((1, 2)) / (count * (count - 1))

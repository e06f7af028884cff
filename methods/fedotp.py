"""FedOTP (Li et al., CVPR 2024): a shared and a private prompt, joined by optimal transport.

Equations as in the paper, "Global and Local Prompts Cooperation via Optimal Transport for
Federated Learning"; details after the authors' code, HongxiaLee/FedOTP at 9948611.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors, masked_mean
from fplbench.prompts import ContextSettings, start_context

CHECK_EVERY = 5
"""Iterations between two looks at whether anybody still iterates: a look waits for the device."""

WORTH_A_COPY = 0.8
"""Share of the groups still iterating below which the others are taken out."""

FLOAT32_EPS = 0.025
"""From here on exp(-2 / eps), the smallest entry of a kernel, is a normal float32."""


class FedOTP(Method):
    """For an image with patches g_m and a class with prompts h_1 (shared), h_2 (private):

    cost         C = 1 - cos(g, h),   kernel = exp(-C / eps)
    transport    T = argmin <T, C> - eps * entropy(T), with marginals
                 COT:       T 1 <= 1/M,  T' 1 = gamma / 2     (unbalanced: gamma of the patches)
                 Sinkhorn:  T 1 = 1/M,   T' 1 = 1/2
    logit        scale * <T, cos(g, h)>,   T without gradient
    """

    name = "fedotp"
    title = "FedOTP"
    source = (
        "Li et al., Global and Local Prompts Cooperation via Optimal Transport for Federated "
        "Learning, CVPR 2024"
    )
    inputs = frozenset({"patches"})
    variants: ClassVar = {"sinkhorn": {"ot": "Sinkhorn"}, "small_eps": {"eps": 0.01}}

    class Config(ContextSettings):
        ot: Literal["COT", "Sinkhorn"] = Field(
            "COT", description="Solver. COT, the unbalanced one: the published default (--OT)."
        )
        top_percent: float = Field(
            0.8,
            gt=0,
            le=1,
            description="gamma, the mass that COT transports. 0.8: TOP_PERCENT in both published "
            "scripts; the argument's default is 1.",
        )
        eps: float = Field(
            0.1,
            ge=0.003,
            description="Weight of the entropy. 0.1: EPS in fedotp_cifar100.sh and the argument's "
            "default; fedotp_few_shot.sh has 0.01. Below 0.025 the plan takes float64, below 0.003 "
            "even that would not hold exp(-2 / eps).",
        )
        thresh: float = Field(
            1e-3,
            ge=0,
            description="Stop when the scaling vectors change by less than this on average. "
            "1e-3: THRESH in both scripts and the argument's default.",
        )
        max_iter: int = Field(
            100,
            ge=1,
            description="Iterations at most. 100: MAX_ITER in both scripts and the default.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        shared = start_context(self.config, task, generator)
        private = start_context(self.config, task, generator)
        return {"ctx_shared": Param(shared), "ctx_private": Param(private, shared=False)}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        ctx = torch.stack([params["ctx_shared"], params["ctx_private"]], dim=1)
        return {"h": F.normalize(task.encode_prompts(ctx, self.config.position), dim=-1)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        assert batch.patches is not None
        similarity = torch.einsum("cbmd,cnkd->cbmnk", batch.patches, text["h"])
        with torch.no_grad():
            plan = self.transport(similarity, batch)
        return task.logit_scale * (plan * similarity).sum((2, 3))

    def transport(self, similarity: Tensor, batch: Batch) -> Tensor:
        """The plan T of similarities, both [C, B, M, N, K].

        The published code stops a whole batch by its mean change. So does each client in
        training, by its own images alone; in evaluation each image stops by itself, so that an
        answer does not depend on the images beside it. Those who stop together are a group.
        """
        exact = similarity.double() if self.config.eps < FLOAT32_EPS else similarity
        kernels = torch.exp((exact - 1) / self.config.eps).movedim(3, 0)  # [N, C, B, M, K]
        mask = batch.mask
        if not batch.training:
            kernels, mask = kernels.flatten(1, 2).unsqueeze(2), mask.flatten().unsqueeze(1)
        kernels = kernels.contiguous()
        v_before, v = self.prompt_scalings(kernels, mask)
        plan = v * kernels * self.patch_scalings(kernels, v_before)
        return plan.movedim(0, 3).view_as(similarity).to(similarity.dtype)

    def prompt_scalings(self, kernels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """v after a group's last iteration and before it, each [N, G, B, 1, K].

        kernels: [N, G, B, M, K] of G groups; mask: [G, B], the images that count. The patches'
        scalings follow, u = f(v_before), and are M times as large.
        """
        partial = self.config.ot == "COT"
        b = (self.config.top_percent if partial else 1) / len(kernels)  # mass of a prompt
        ends = torch.ones(2, *kernels[:, :, :, :1].shape, dtype=kernels.dtype, device=mask.device)
        v_before, v = ends
        u = torch.ones_like(kernels[0])  # [G, B, M, K]
        going = torch.arange(len(mask), device=mask.device)
        running = torch.ones_like(going, dtype=torch.bool)
        for iteration in range(1, self.config.max_iter + 1):
            u_before, u = u, self.patch_scalings(kernels, v)
            w = b / torch.stack([(k * u).sum(2, keepdim=True) for k in kernels])
            # The published stopping rule looks at v in COT and at u in Sinkhorn.
            moved = (w - v).abs().mean((0, 3, 4)) if partial else (u - u_before).abs().mean((2, 3))
            goes_on = running[:, None, None, None]
            v_before, v = torch.where(goes_on, v, v_before), torch.where(goes_on, w, v)
            running = running & (masked_mean(moved, mask) >= self.config.thresh)
            if iteration % CHECK_EVERY == 0 or iteration == self.config.max_iter:
                ends[:, :, going] = torch.stack([v_before, v])
                left = running.nonzero()[:, 0]
                if not len(left):
                    break
                if len(left) < WORTH_A_COPY * len(going):  # those who have stopped cost no more
                    kernels, v_before, v = kernels[:, left], v_before[:, left], v[:, left]
                    u, mask, going = u[left], mask[left], going[left]
                    running = running[left]
        return ends[0], ends[1]

    def patch_scalings(self, kernels: Tensor, v: Tensor) -> Tensor:
        """u, [G, B, M, K]: what makes each patch give its mass 1/M, in COT at most that.

        In place, since this is where the time goes.
        """
        u = kernels[0] * v[0]
        for kernel, scaling in zip(kernels[1:], v[1:], strict=True):
            u.addcmul_(kernel, scaling)
        u.reciprocal_().mul_(1 / u.shape[2])
        return u.clamp_(max=1) if self.config.ot == "COT" else u

    def shared_only(self, params: Tensors) -> Tensors | None:
        """The shared prompt in both places."""
        return params | {"ctx_private": params["ctx_shared"]}

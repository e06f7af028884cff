"""The transport with plain tensors, on any device: each iteration is several passes over them."""

from __future__ import annotations

import torch
from torch import Tensor

from fplbench.method import masked_mean
from fplbench.transport.rule import Rule, kernels_of

CHECK_EVERY = 5
"""Iterations between two looks at whether anybody still iterates: a look waits for the device."""

WORTH_A_COPY = 0.8
"""Share of the groups still iterating below which the others are taken out."""


def plan(similarity: Tensor, mask: Tensor, rule: Rule, training: bool) -> Tensor:
    """The plan T of similarities, both [C, B, M, N, K].

    Those who stop together are a group: a client's images in training, otherwise each image.
    """
    kernels = kernels_of(similarity, rule.eps).movedim(3, 0)  # [N, C, B, M, K]
    if not training:
        kernels, mask = kernels.flatten(1, 2).unsqueeze(2), mask.flatten().unsqueeze(1)
    kernels = kernels.contiguous()
    v_before, v = prompt_scalings(kernels, mask, rule)
    found = v * kernels * patch_scalings(kernels, v_before, rule)
    return found.movedim(0, 3).view_as(similarity).to(similarity.dtype)


def prompt_scalings(kernels: Tensor, mask: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """v before a group's last iteration and after it, each [N, G, B, 1, K].

    kernels: [N, G, B, M, K] of G groups; mask: [G, B], the images that count. The patches'
    scalings follow, u = f(v_before), and are M times as large.
    """
    b = rule.mass / len(kernels)  # mass of a prompt
    ends = torch.ones(2, *kernels[:, :, :, :1].shape, dtype=kernels.dtype, device=mask.device)
    v_before, v = ends
    u = torch.ones_like(kernels[0])  # [G, B, M, K]
    going = torch.arange(len(mask), device=mask.device)
    running = torch.ones_like(going, dtype=torch.bool)
    for iteration in range(1, rule.max_iter + 1):
        u_before, u = u, patch_scalings(kernels, v, rule)
        w = b / torch.stack([(k * u).sum(2, keepdim=True) for k in kernels])
        moved = (w - v).abs().mean((0, 3, 4)) if rule.partial else (u - u_before).abs().mean((2, 3))
        goes_on = running[:, None, None, None]
        v_before, v = torch.where(goes_on, v, v_before), torch.where(goes_on, w, v)
        running = running & (masked_mean(moved, mask) >= rule.thresh)
        if iteration % CHECK_EVERY == 0 or iteration == rule.max_iter:
            ends[:, :, going] = torch.stack([v_before, v])
            left = running.nonzero()[:, 0]
            if not len(left):
                break
            if len(left) < WORTH_A_COPY * len(going):  # those who have stopped cost no more
                kernels, v_before, v = kernels[:, left], v_before[:, left], v[:, left]
                u, mask, going = u[left], mask[left], going[left]
                running = running[left]
    return ends[0], ends[1]


def patch_scalings(kernels: Tensor, v: Tensor, rule: Rule) -> Tensor:
    """u, [G, B, M, K]: what makes each patch give its mass 1/M, where partial at most that.

    In place, since this is where the time goes.
    """
    u = kernels[0] * v[0]
    for kernel, scaling in zip(kernels[1:], v[1:], strict=True):
        u.addcmul_(kernel, scaling)
    u.reciprocal_().mul_(1 / u.shape[2])
    return u.clamp_(max=1) if rule.partial else u

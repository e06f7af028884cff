"""Optimal transport between an image's patches and a class's prompts.

For an image with patches g_m and a class with prompts h_n, similarity S = cos(g, h):

    kernel     exp((S - 1) / eps)
    transport  T = argmin <T, 1 - S> - eps * entropy(T), with marginals
               partial (COT):      T 1 <= 1/M,  T' 1 = mass / N
               full (Sinkhorn):    T 1  = 1/M,  T' 1 = 1/N
    scaling    u = 1 / (M kernel v), partial: at most 1;   v = mass / (N kernel' u);
               T = v * kernel * u

A host solves it in one fused loop (host.py, loops.py), a GPU in one Triton kernel (device.py);
other devices, GPUs without Triton, and the tests that hold both to it, with plain tensors
(plain.py). All stop by the same rule.

Axes: C clients, B images, M patches, N prompts, K classes.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from torch import Tensor

from fplbench.transport import plain
from fplbench.transport.rule import Rule

__all__ = ["Rule", "transported"]


def transported(similarity: Tensor, mask: Tensor, rule: Rule, training: bool) -> Tensor:
    """<T, S> of each image and class, [C, B, K]; its gradient to S is T, a constant.

    similarity: [C, B, M, N, K]; mask: [C, B], the images that count; others have 0.

    Published code stops a whole batch by its mean change. In training a client does so by its own
    images alone; otherwise each image stops by itself, so that an answer does not depend on the
    images beside it.
    """
    if similarity.device.type == "cpu" and similarity.dtype in (torch.float32, torch.float64):
        found: Tensor = _OnHost.apply(similarity, mask, rule, training)
        return found
    with torch.no_grad():
        plan = _planned(similarity, mask, rule, training)
    return (plan * similarity).sum((2, 3)).masked_fill(~mask[:, :, None], 0)


def _planned(similarity: Tensor, mask: Tensor, rule: Rule, training: bool) -> Tensor:
    if similarity.is_cuda and importlib.util.find_spec("triton") is not None:
        from fplbench.transport import device

        if device.can(similarity):
            return device.plan(similarity, mask, rule, training)
    return plain.plan(similarity, mask, rule, training)


class _OnHost(torch.autograd.Function):
    """The plan is found without a gradient, and only kept where one of its product is wanted."""

    @staticmethod
    def forward(ctx: Any, similarity: Tensor, mask: Tensor, rule: Rule, training: bool) -> Tensor:
        keep = bool(ctx.needs_input_grad[0])
        from fplbench.transport import host  # numba takes a moment, and most runs need none

        found, plan = host.solve(similarity, mask, rule, training, keep)
        if keep:
            ctx.save_for_backward(plan)
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (plan,) = ctx.saved_tensors
        return grads[0][:, :, None, None] * plan, None, None, None

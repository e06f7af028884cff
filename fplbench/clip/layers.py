"""Layers whose weights every client has of its own: the first axis of each is the clients'."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """[C, ..., out] of x [C, ..., in], weight [C, out, in], bias [C, out]."""
    flat = x.flatten(1, -2) if x.dim() > 2 else x[:, None]
    found = flat @ weight.transpose(1, 2)
    if bias is not None:
        found = found + bias[:, None]
    return found.view(*x.shape[:-1], weight.shape[1])


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """x: [C, ..., d]; weight, bias: [C, d]."""
    shape = (len(weight), *[1] * (x.dim() - 2), weight.shape[1])
    return F.layer_norm(x, x.shape[-1:], eps=eps) * weight.view(shape) + bias.view(shape)


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """[C, Q, d] of q [C, Q, d], k and v [C, L, d], all projected; mask: [C, L], keys that count."""
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))  # [C, H, ., d/H]
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None], float("-inf"))
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def start_linear(out: int, given: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Weight [out, given] and bias [out] as torch.nn.Linear starts: U(-1/sqrt(given), ...)."""
    bound = 1 / math.sqrt(given)
    weight = torch.empty(out, given).uniform_(-bound, bound, generator=generator)
    return weight, torch.empty(out).uniform_(-bound, bound, generator=generator)


def start_xavier(out: int, given: int, generator: torch.Generator) -> Tensor:
    """Weight [out, given] as torch.nn.MultiheadAttention starts: Glorot's uniform."""
    bound = math.sqrt(6 / (out + given))
    return torch.empty(out, given).uniform_(-bound, bound, generator=generator)

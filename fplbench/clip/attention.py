"""Attention of a context and of packed class names: each bin sees known tokens, context, itself.

Two ways with one result. On a GPU, torch's fused attention. On the host that one is slow for a
few hundred tokens, and autograd copies queries, keys and values several times over; there the
steps are written out, with no more copies than the matrix products need.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def attend_in_bins(qkv: Tensor, known: Tensor, mask: Tensor, n: int) -> Tensor:
    """Attention's output, [P, n + R W, d].

    qkv: [P, n + R W, 3 d], queries, keys and values of a context of n tokens and of R bins of W.
    known: [3, H, T, d/H], the same of tokens before them all, whose output is not wanted.
    mask: [R, T + n + W, T + n + W], added to the scores of known tokens, context and a bin.
    """
    if qkv.device.type == "cpu":
        out: Tensor = _OnHost.apply(qkv, known, mask, n)
        return out
    return attend_plainly(qkv, known, mask, n)


def attend_plainly(qkv: Tensor, known: Tensor, mask: Tensor, n: int) -> Tensor:
    """The same through torch's own attention, differentiated by autograd."""
    _, heads, before, size = known.shape
    q, k, v = in_bins(heads_first(qkv, heads, size), known, n, len(mask))
    # A bin takes the place of a head, so that one mask serves all prompts and all real heads.
    q, k, v = (t.flatten(0, 1) for t in (q[..., before:, :], k, v))
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[None, :, before:])
    out = out.view(len(qkv), -1, *out.shape[1:])  # [P, H, R, n + W, d/H]
    parts = [out[:, :, 0, :n], out[..., n:, :].flatten(2, 3)]
    return torch.cat(parts, dim=2).transpose(1, 2).flatten(2)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """q: [..., Q, d/H]; k, v: [..., L, d/H]; mask: [..., Q, L], of fewer leading axes."""
    scores = torch.add(mask, q @ k.transpose(-1, -2), alpha=q.shape[-1] ** -0.5)
    return scores.softmax(-1) @ v


def heads_first(y: Tensor, heads: int, size: int) -> Tensor:
    """[P, L, parts H d/H], as a linear layer gives it, as [parts, P, H, L, d/H]."""
    return y.view(*y.shape[:2], -1, heads, size).permute(2, 0, 3, 1, 4)


def in_bins(parts: Tensor, known: Tensor, n: int, bins: int) -> Tensor:
    """Each bin behind a copy of the known tokens and the context.

    parts: [parts, P, H, n + R W, d/H]; known: [parts, H, T, d/H]. Returns
    [parts, P, H, R, T + n + W, d/H].
    """
    known = known[:, None].expand(-1, parts.shape[1], -1, -1, -1)
    before = torch.cat([known, parts[..., :n, :]], dim=3).unsqueeze(3)
    own = parts[..., n:, :]
    own = own.reshape(*own.shape[:3], bins, -1, own.shape[-1])
    return torch.cat([before.expand(-1, -1, -1, bins, -1, -1), own], dim=4)


class _OnHost(torch.autograd.Function):
    """`attend_in_bins` with its gradient written out; X = T + n + W, G = P H R."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, known: Tensor, mask: Tensor, n: int) -> Tensor:
        _, heads, before, size = known.shape
        prompts, length, bins, x = len(qkv), qkv.shape[1], len(mask), mask.shape[1]
        given = heads_first(qkv, heads, size)
        parts = qkv.new_empty(3, prompts, heads, bins, x, size)
        parts[..., :before, :] = known[:, None, :, None]
        parts[..., before : before + n, :] = given[..., None, :n, :]
        parts[..., before + n :, :] = _cut(given[..., n:, :], bins)
        q, k, v = parts.view(3, -1, x, size)  # [G, X, d/H]
        scores = torch.bmm(q[:, before:], k.transpose(1, 2))
        scores.view(-1, bins, x - before, x).mul_(size**-0.5).add_(mask[:, before:])
        weights = scores.softmax(-1)
        attended = torch.bmm(weights, v).view(prompts, heads, bins, -1, size)
        out = qkv.new_empty(prompts, length, heads, size)
        _out_of_bins(attended, out.transpose(1, 2), n)
        ctx.save_for_backward(parts, weights)
        ctx.n = n
        return out.flatten(2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        parts, weights = ctx.saved_tensors
        _, prompts, heads, bins, x, size = parts.shape
        n, queries = ctx.n, weights.shape[1]  # n + W
        before, length = x - queries, grads[0].shape[1]
        given = heads_first(grads[0].contiguous(), heads, size)[0]
        # Of a context's output, the copy in the first bin was used.
        out = weights.new_zeros(prompts, heads, bins, queries, size)
        out[:, :, 0, :n] = given[:, :, :n]
        out[..., n:, :] = _cut(given[:, :, n:], bins)
        out = out.view(-1, queries, size)
        q, k, v = parts.view(3, -1, x, size)
        found = torch.empty_like(parts)
        d_q, d_k, d_v = found.view(3, -1, x, size)
        torch.bmm(weights.transpose(1, 2), out, out=d_v)
        scores = torch.bmm(out, v.transpose(1, 2))
        scores = torch._softmax_backward_data(scores, weights, -1, scores.dtype).mul_(size**-0.5)
        torch.bmm(scores.transpose(1, 2), q[:, before:], out=d_k)
        d_q[:, :before] = 0
        d_q[:, before:] = torch.bmm(scores, k)
        d_qkv = weights.new_empty(prompts, length, 3, heads, size)
        target = d_qkv.permute(2, 0, 3, 1, 4)
        target[..., :n, :] = found[..., before : before + n, :].sum(3)
        _cut(target[..., n:, :], bins)[:] = found[..., before + n :, :]
        return d_qkv.flatten(2), None, None, None


def _cut(tokens: Tensor, bins: int) -> Tensor:
    """[..., R W, d/H] as [..., R, W, d/H], the same memory."""
    cut: Tensor = tokens.unflatten(-2, (bins, -1))
    return cut


def _out_of_bins(x: Tensor, target: Tensor, n: int) -> None:
    """x: [P, H, R, n + W, d/H] into target [P, H, n + R W, d/H]."""
    target[:, :, :n] = x[:, :, 0, :n]
    _cut(target[:, :, n:], x.shape[2])[:] = x[..., n:, :]

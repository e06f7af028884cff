"""The text transformer over [SOS][context] once, and over the class names that follow it.

In a causal tower nothing before a class name sees it, so a context is computed once for all
classes, and what follows it once for each class; packing.py says how those lie together. What no
context touches is not computed at all, but known from the start: [SOS] in every layer, and the
first layer's projections of the class names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from fplbench.clip.attention import attend, attend_in_bins, heads_first, in_bins

Blocks = Sequence[ResidualAttentionBlock]


@dataclass(frozen=True)
class Tail:
    """What follows a context of n tokens: R bins of W tokens, some of which are read.

    x: [P or 1, R W, d], embedded with positions. first: [P or 1, R W, 3 d], what `project` makes
    of it in the first layer. mask: [R, T + n + W, T + n + W], added to the scores among the T
    known tokens, the context and a bin. ends: [R, E], the tokens of each bin that are read.
    """

    x: Tensor
    first: Tensor
    mask: Tensor
    ends: Tensor


def can_share(blocks: Iterable[nn.Module]) -> bool:
    """Whether these are open_clip's plain blocks, the only ones taken apart here."""
    return all(
        type(block) is ResidualAttentionBlock and not hasattr(block, "ln_1_kv") for block in blocks
    )


def project(block: ResidualAttentionBlock, x: Tensor, first: int = 0, last: int = 3) -> Tensor:
    """Queries, keys and values (0, 1, 2) from `first` to before `last`: [..., (last - first) d]."""
    rows = slice(first * x.shape[-1], last * x.shape[-1])
    weight, bias = block.attn.in_proj_weight[rows], block.attn.in_proj_bias[rows]
    return F.linear(block.ln_1(x), weight, bias)


@torch.no_grad()
def known_tokens(blocks: Blocks, x: Tensor) -> list[Tensor]:
    """Queries, keys and values of the tokens before every context, [3, H, T, d/H] a layer.

    x: [T, d], embedded with positions.
    """
    mask = x.new_full((len(x), len(x)), float("-inf")).triu(1)
    found, x = [], x[None]
    for block in blocks:
        q, k, v = parts = _heads_first(block, project(block, x))
        found.append(parts[:, 0])
        x = _finish(block, x, attend(q, k, v, mask).transpose(1, 2).flatten(2))
    return found


def run(
    blocks: Blocks,
    context: Tensor,
    known: Sequence[Tensor],
    tail: Tail,
    deep: Mapping[int, Tensor] | None = None,
) -> Tensor:
    """The output where the tail is read, [P, R E, d].

    context: [P, n, d], embedded with positions; known: what `known_tokens` returned.
    deep: layer -> [P, n, d], what takes the context's place at its input.
    """
    deep = deep or {}
    context = deep.get(0, context)
    prompts, n, _ = context.shape
    bins, most = tail.ends.shape
    x = torch.cat([context, tail.x.expand(prompts, -1, -1)], dim=1)  # [P, n + R W, d]
    qkv = torch.cat([project(blocks[0], context), tail.first.expand(prompts, -1, -1)], dim=1)
    for i, (block, before) in enumerate(zip(blocks[:-1], known, strict=False)):
        if i:
            x = _overwritten(x, deep.get(i))
            qkv = project(block, x)
        x = _finish(block, x, attend_in_bins(qkv, before, tail.mask, n))
    # In the last layer the others are only seen: they need no more than keys and values.
    block, lines = blocks[-1], torch.arange(bins, device=x.device)[:, None]
    width = tail.x.shape[1] // bins
    places = (n + width * lines + tail.ends).flatten()
    if len(blocks) > 1:
        x = _overwritten(x, deep.get(len(blocks) - 1))
        q, kv = project(block, x[:, places], last=1), project(block, x, first=1)
    else:
        q, kv = qkv[:, places, : x.shape[-1]], qkv[..., x.shape[-1] :]
    k, v = in_bins(_heads_first(block, kv), known[-1][1:], n, bins)
    q = _heads_first(block, q)[0]  # [P, H, R E, d/H]
    q = q.reshape(*q.shape[:2], bins, most, -1)
    attended = attend(q, k, v, tail.mask[lines, tail.ends - width])  # [P, H, R, E, d/H]
    return _finish(block, x[:, places], attended.flatten(2, 3).transpose(1, 2).flatten(2))


def _overwritten(x: Tensor, context: Tensor | None) -> Tensor:
    """x: [P, n + R W, d] with another context, [P, n, d]."""
    return x if context is None else torch.cat([context, x[:, context.shape[1] :]], dim=1)


def _heads_first(block: ResidualAttentionBlock, y: Tensor) -> Tensor:
    heads = block.attn.num_heads
    return heads_first(y.contiguous(), heads, block.attn.embed_dim // heads)


def _finish(block: ResidualAttentionBlock, x: Tensor, attended: Tensor) -> Tensor:
    """The rest of a block after attention; both [P, L, d]."""
    x = x + block.ls_1(block.attn.out_proj(attended))
    y: Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return y

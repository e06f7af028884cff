"""The text transformer over [SOS][context] once, and over the class names that follow it.

In a causal tower nothing before a class name sees it, so a context is computed once for all
classes, and what follows it once for each class; packing.py says how those lie together. What no
context touches is not computed at all, but known from the start: [SOS] in every layer, and the
first layer's projections of the class names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fplbench.clip.adapters import Block
from fplbench.clip.attention import attend, attend_in_bins, in_bins
from fplbench.clip.blocks import Blocks, by_heads, finish, project


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


@torch.no_grad()
def known_tokens(blocks: Blocks, x: Tensor) -> list[Tensor]:
    """Queries, keys and values of the tokens before every context, [3, H, T, d/H] a layer.

    x: [T, d], embedded with positions.
    """
    mask = x.new_full((len(x), len(x)), float("-inf")).triu(1)
    found, x = [], x[None]
    for block in blocks:
        q, k, v = parts = by_heads(block, project(block, x))
        found.append(parts[:, 0])
        x = finish(block, x, attend(q, k, v, mask).transpose(1, 2).flatten(2))
    return found


def run(
    blocks: Blocks,
    context: Tensor,
    known: Sequence[Tensor],
    tail: Tail,
    deep: Mapping[int, Tensor] | None = None,
    added: Mapping[int, Block] | None = None,
) -> Tensor:
    """The output where the tail is read, [P, R E, d].

    context: [P, n, d], embedded with positions; known: what `known_tokens` returned.
    deep: layer -> [P, m, d], what takes the place of the context's last m at its input.
    added: layer -> what its queries, keys and values have added. Then no token is known before:
    those that stand before every context are the first of it.
    """
    deep, added = deep or {}, added or {}
    prompts, n, _ = context.shape
    context = _overwritten(context, deep.get(0), n)
    bins, most = tail.ends.shape
    x = torch.cat([context, tail.x.expand(prompts, -1, -1)], dim=1)  # [P, n + R W, d]
    qkv = torch.cat([project(blocks[0], context), tail.first.expand(prompts, -1, -1)], dim=1)
    if 0 in added:
        qkv = qkv + added[0](blocks[0].ln_1(x))
    for i, (block, before) in enumerate(zip(blocks[:-1], known, strict=False)):
        if i:
            x = _overwritten(x, deep.get(i), n)
            qkv = project(block, x, added=added.get(i))
        x = finish(block, x, attend_in_bins(qkv, before, tail.mask, n))
    # In the last layer the others are only seen: they need no more than keys and values.
    i, block, lines = len(blocks) - 1, blocks[-1], torch.arange(bins, device=x.device)[:, None]
    width = tail.x.shape[1] // bins
    places = (n + width * lines + tail.ends).flatten()
    if i:
        x = _overwritten(x, deep.get(i), n)
        q = project(block, x[:, places], last=1, added=added.get(i))
        kv = project(block, x, first=1, added=added.get(i))
    else:
        q, kv = qkv[:, places, : x.shape[-1]], qkv[..., x.shape[-1] :]
    k, v = in_bins(by_heads(block, kv), known[-1][1:], n, bins)
    q = by_heads(block, q)[0]  # [P, H, R E, d/H]
    q = q.reshape(*q.shape[:2], bins, most, -1)
    attended = attend(q, k, v, tail.mask[lines, tail.ends - width])  # [P, H, R, E, d/H]
    return finish(block, x[:, places], attended.flatten(2, 3).transpose(1, 2).flatten(2))


def _overwritten(x: Tensor, context: Tensor | None, end: int) -> Tensor:
    """x: [P, L, d] with other vectors, [P, m, d], in the m places before `end`."""
    if context is None:
        return x
    return torch.cat([x[:, : end - context.shape[1]], context, x[:, end:]], dim=1)

"""One of open_clip's plain blocks, taken apart: what attention reads, and what follows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from fplbench.clip.adapters import Block
from fplbench.clip.attention import heads_first

Blocks = Sequence[ResidualAttentionBlock]


def are_plain(blocks: Iterable[nn.Module]) -> bool:
    """Whether these are open_clip's plain blocks, the only ones taken apart here."""
    return all(
        type(block) is ResidualAttentionBlock and not hasattr(block, "ln_1_kv") for block in blocks
    )


def project(
    block: ResidualAttentionBlock,
    x: Tensor,
    first: int = 0,
    last: int = 3,
    added: Block | None = None,
) -> Tensor:
    """Queries, keys and values (0, 1, 2) from `first` to before `last`: [..., (last - first) d].

    added: what is added to all three, of what the block's first norm gives.
    """
    rows = slice(first * x.shape[-1], last * x.shape[-1])
    weight, bias = block.attn.in_proj_weight[rows], block.attn.in_proj_bias[rows]
    normed = block.ln_1(x)
    found = F.linear(normed, weight, bias)
    return found if added is None else found + added(normed)[..., rows]


def by_heads(block: ResidualAttentionBlock, y: Tensor) -> Tensor:
    """[P, L, parts d], as `project` gives it, as [parts, P, H, L, d/H]."""
    heads = block.attn.num_heads
    return heads_first(y.contiguous(), heads, block.attn.embed_dim // heads)


def finish(block: ResidualAttentionBlock, x: Tensor, attended: Tensor) -> Tensor:
    """The rest of a block after attention; both [P, L, d]."""
    x = x + block.ls_1(block.attn.out_proj(attended))
    y: Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return y


def whole(
    block: ResidualAttentionBlock, x: Tensor, added: Block | None = None, mask: Tensor | None = None
) -> Tensor:
    """A whole block, [P, L, d], where wanted with something added to its queries, keys and values.

    mask: [L, L], added to the scores. torch's own module would multiply by the frozen matrices one
    image at a time, and copy queries, keys and values once more.
    """
    q, k, v = by_heads(block, project(block, x, added=added))
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return finish(block, x, attended.transpose(1, 2).flatten(2))

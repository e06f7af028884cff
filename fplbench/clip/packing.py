"""What follows the context, [name].[EOT], of many classes, packed without padding between them.

Class names differ in length, and many begin alike: "american bulldog", "american pit bull
terrier". In a causal tower tokens behind equal tokens are equal, so the names that share their
first tokens share them here too: a bin holds a trie of names, and a token sees its own ancestors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

BIN_TOKENS = 96
"""Tokens of a bin at most. Every pair of a bin's tokens has a score, needed or not, and every bin
repeats beginnings that its names share with another's; in between the choice hardly matters."""


@dataclass(frozen=True)
class Packed:
    """R bins of W tokens; those after a bin's last name are padding and see only themselves.

    ids: [R, W], tokens. depth: [R, W], how many tokens of its own name come before it.
    sees: [R, W, W], whether a token (row) sees another (column) of its bin.
    ends: [R, E], the column of each name's [EOT]; bins with fewer names repeat their first.
    where: [K], the place of class k's [EOT] among the R * E ends.
    """

    ids: Tensor
    depth: Tensor
    sees: Tensor
    ends: Tensor
    where: Tensor

    def mask(self, before: int, dtype: torch.dtype) -> Tensor:
        """[R, before + W, before + W]: 0 where a token (row) sees another (column), else -inf.

        before: how many tokens stand before every bin, seen by all after them.
        """
        bins, width = self.ids.shape
        sees = torch.ones(bins, before + width, before + width, dtype=torch.bool)
        sees = sees.tril().to(self.sees.device)
        sees[:, before:, before:] = self.sees
        return torch.zeros(sees.shape, dtype=dtype, device=sees.device).masked_fill(
            ~sees, float("-inf")
        )

    def to(self, device: torch.device) -> Packed:
        """The same on another device."""
        return Packed(*(getattr(self, f.name).to(device) for f in fields(self)))

    @property
    def tokens(self) -> int:
        """Token positions computed for one prompt, padding included."""
        return self.ids.numel()


def pack(tails: Sequence[tuple[int, ...]], pad: int, bin_tokens: int = BIN_TOKENS) -> Packed:
    """Pack the tokens after the context, one row for each class, up to and with its [EOT]."""
    order = sorted(range(len(tails)), key=lambda k: tails[k])  # equal beginnings side by side
    bins = _fewest_tokens(tails, order, bin_tokens)
    tries = [_trie([tails[k] for k in names]) for names in bins]
    width = max(len(ids) for ids, _, _ in tries)
    most = max(map(len, bins))
    ids = np.full((len(bins), width), pad)
    depth = np.zeros(ids.shape, dtype=np.int64)
    sees = np.tile(np.eye(width, dtype=bool), (len(bins), 1, 1))
    ends = np.zeros((len(bins), most), dtype=np.int64)
    where = np.zeros(len(tails), dtype=np.int64)
    for r, (names, (tokens, parents, last)) in enumerate(zip(bins, tries, strict=True)):
        ids[r, : len(tokens)] = tokens
        for node, parent in enumerate(parents):
            if parent >= 0:  # parents come before their children
                depth[r, node] = depth[r, parent] + 1
                sees[r, node] |= sees[r, parent]
        ends[r] = last + [last[0]] * (most - len(last))
        where[names] = r * most + np.arange(len(names))
    return Packed(*(torch.from_numpy(x) for x in (ids, depth, sees, ends, where)))


def _fewest_tokens(
    tails: Sequence[tuple[int, ...]], order: Sequence[int], bin_tokens: int
) -> list[list[int]]:
    """Cut the ordered classes into as few bins as possible, then make the fullest one small."""
    limit = max(bin_tokens, max(map(len, tails)))
    count = len(_fill(tails, order, limit))
    low, high = max(map(len, tails)), limit
    while low < high:
        middle = (low + high) // 2
        if len(_fill(tails, order, middle)) <= count:
            high = middle
        else:
            low = middle + 1
    return _fill(tails, order, high)


def _fill(tails: Sequence[tuple[int, ...]], order: Sequence[int], limit: int) -> list[list[int]]:
    """Classes in order, a new bin whenever the next one's own tokens exceed the limit."""
    bins: list[list[int]] = []
    used = limit
    for k in order:
        new = len(tails[k]) - (_alike(tails[bins[-1][-1]], tails[k]) if bins else 0)
        if used + new > limit:
            bins.append([])
            used, new = 0, len(tails[k])
        bins[-1].append(k)
        used += new
    return bins


def _alike(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """How many first tokens two names have in common."""
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def _trie(tails: Sequence[tuple[int, ...]]) -> tuple[list[int], list[int], list[int]]:
    """Tokens and parents (-1: none) of all nodes, and the node of each name's [EOT]."""
    tokens: list[int] = []
    parents: list[int] = []
    last: list[int] = []
    nodes: dict[tuple[int, int], int] = {}
    for tail in tails:
        node = -1
        for token in tail:
            if (node, token) not in nodes:
                nodes[node, token] = len(tokens)
                tokens.append(token)
                parents.append(node)
            node = nodes[node, token]
        last.append(node)
    return tokens, parents, last

"""Adapters inside the frozen blocks of a tower: what is added to a block's output, and to its
queries, keys and values."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from fplbench.errors import UserError

Block = Callable[[Tensor], Tensor]
Adapters = Mapping[int, Block]
"""place -> from tokens [C, T, w] to what is added, of the same shape. Place 0 is the embedding
(words, or what an image tower's first norm gives); place i the i-th block, whose output has added
what is made of its first norm's."""
Projections = Mapping[int, Block]
"""layer, from 0 -> from tokens [C, T, w], what the block's first norm gives, to what is added to
their queries, keys and values, [C, T, 3 w]. A change D_c of a client's own to the frozen matrix
[3 w, w] is x D_c', and where D_c is of low rank, two small products for each client beside the
large one that all share. A block may be asked more than once, for some of the tokens each time."""


def per_block(adapters: Adapters | None, clients: int) -> dict[int, Block]:
    """layer, from 0 -> the same of tokens [C R, L, w], R rows of each client."""
    return {place - 1: _of_rows(each, clients) for place, each in (adapters or {}).items() if place}


def per_layer(projections: Projections | None, clients: int, layers: int) -> dict[int, Block]:
    """layer -> the same of tokens [C R, L, w], R rows of each client.

    UserError: there is no such layer.
    """
    given = projections or {}
    if any(not 0 <= layer < layers for layer in given):
        raise UserError(
            f"changes to the attention of layer {max(given)} of a tower that has {layers}, "
            f"counted from 0: change at most {layers} layers"
        )
    return {layer: _of_rows(each, clients) for layer, each in given.items()}


def _of_rows(adapter: Block, clients: int) -> Block:
    def added(x: Tensor) -> Tensor:
        found = adapter(x.reshape(clients, -1, x.shape[-1]))
        return found.view(*x.shape[:-1], found.shape[-1])

    return added

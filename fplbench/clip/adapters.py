"""Adapters inside the frozen blocks of a tower: what is added to a block's output."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

Block = Callable[[Tensor], Tensor]
Adapters = Mapping[int, Block]
"""place -> from tokens [C, T, w] to what is added, of the same shape. Place 0 is the embedding
(words, or what an image tower's first norm gives); place i the i-th block, whose output has added
what is made of its first norm's."""


def per_block(adapters: Adapters | None, clients: int) -> dict[int, Block]:
    """layer, from 0 -> the same of tokens [C R, L, w], R rows of each client."""

    def of_rows(adapter: Block) -> Block:
        def added(x: Tensor) -> Tensor:
            return adapter(x.reshape(clients, -1, x.shape[-1])).view_as(x)

        return added

    return {place - 1: of_rows(each) for place, each in (adapters or {}).items() if place}

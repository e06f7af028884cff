"""One client's changes written into the attention of open_clip's own blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from open_clip.transformer import Transformer
from torch import Tensor, nn


@contextmanager
def merged(transformer: Transformer, changes: Mapping[int, Tensor]) -> Iterator[None]:
    """Inside, the stacked matrices of queries, keys and values, [3 w, w], have these added, by
    layer, with a gradient to them."""
    with ExitStack() as changed:
        for layer, change in changes.items():
            changed.enter_context(_added(transformer.resblocks[layer].attn, change))
        yield


@contextmanager
def _added(attention: nn.MultiheadAttention, change: Tensor) -> Iterator[None]:
    frozen = attention._parameters.pop("in_proj_weight")
    assert frozen is not None
    attention.in_proj_weight = frozen + change  # type: ignore[assignment]
    try:
        yield
    finally:
        del attention.in_proj_weight
        attention.register_parameter("in_proj_weight", frozen)

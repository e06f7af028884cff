"""What clients add to queries, keys and values is as if written into the weights of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from merged_weights import merged
from open_clip.transformer import Transformer
from small_clip import LetterTokenizer, far, small_clip
from torch import Tensor

from fplbench.clip.adapters import Projections
from fplbench.clip.prompts import Position
from fplbench.clip.text import TextTower
from fplbench.clip.vision import ImageTower, embed
from fplbench.errors import UserError

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
NAMES = ("cat", "catfish", "ox", "long tailed tit", "boeing 747")
Encode = Callable[[Projections | None], Tensor]


def random_changes(
    clients: int, width: int, layers: list[int], dtype: torch.dtype = torch.float64
) -> dict[int, Tensor]:
    """layer -> [C, 3 w, w]."""
    noise = torch.Generator().manual_seed(3)
    return {
        layer: (0.1 * torch.randn(clients, 3 * width, width, generator=noise, dtype=dtype))
        for layer in layers
    }


def projections(changes: dict[int, Tensor]) -> Projections:
    return {layer: lambda x, change=change: x @ change.mT for layer, change in changes.items()}


def assert_alike(ours: Tensor, theirs: Tensor, leaves: list[Tensor]) -> None:
    """Values, and gradients of one random sum."""
    noise = torch.Generator().manual_seed(1)
    weights = torch.randn(ours.shape, generator=noise, dtype=ours.dtype)
    found, wanted = ([t, *torch.autograd.grad((t * weights).sum(), leaves)] for t in (ours, theirs))
    for mine, plain in zip(found, wanted, strict=True):
        # A context that the first layer overwrites has no gradient, on either side.
        assert (mine - plain).abs().max() <= TOLERANCE[ours.dtype] * plain.abs().max()


def assert_texts_agree(
    ctx: Tensor,
    changed: list[int],
    deep: dict[int, Tensor] | None = None,
    position: Position = "end",
    general: bool = False,
    **made: Any,
) -> None:
    """Beside one client after the other, each through the general way of a tower with its own
    weights (tests/clip/test_text.py holds that way to open_clip's full pass)."""
    model = small_clip(**made).to(ctx.dtype)
    tower = TextTower(model, LetterTokenizer())
    names = tower.tokenize(NAMES)
    changes = random_changes(len(ctx), tower.width, changed, ctx.dtype)
    deep = deep or {}
    given = [t.requires_grad_() for t in (ctx, *changes.values(), *deep.values())]
    leaves = [t for t in given if t.numel()]
    ours = tower.encode_prompts(
        ctx, names, position, deep, projections=projections(changes), general=general
    )
    alone = []
    for c in range(len(ctx)):
        with merged(tower.transformer, {layer: each[c] for layer, each in changes.items()}):
            own = {layer: each[c : c + 1] for layer, each in deep.items()}
            alone.append(tower.encode_prompts(ctx[c : c + 1], names, position, own, general=True))
    assert_alike(ours, torch.cat(alone), leaves)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(0, 4)),
    depth=st.integers(1, 3),
    changed=st.sets(st.integers(0, 2), min_size=1),
    deeper=st.sets(st.integers(0, 2)),
    general=st.booleans(),
    dtype=st.sampled_from([torch.float64, torch.float32]),
    seed=st.integers(0, 9),
)
def test_prompts_of_clients_with_attention_of_their_own(
    shape: tuple[int, int, int],
    depth: int,
    changed: set[int],
    deeper: set[int],
    general: bool,
    dtype: torch.dtype,
    seed: int,
) -> None:
    noise = torch.Generator().manual_seed(seed)

    def random() -> Tensor:
        return 0.1 * torch.randn(*shape, 32, generator=noise, dtype=dtype)

    layers = sorted({each % depth for each in changed})
    deep = {each % depth: random() for each in sorted(deeper)} if shape[2] else {}
    assert_texts_agree(random(), layers, deep, general=general, width=32, layers=depth, seed=seed)


@pytest.mark.parametrize("position", ["middle", "front"])
def test_every_position_agrees(position: Position) -> None:
    ctx = torch.randn(2, 1, 4, 16, dtype=torch.float64)
    assert_texts_agree(ctx, [0, 1], position=position)


def test_contexts_of_each_class_agree() -> None:
    assert_texts_agree(torch.randn(2, 1, len(NAMES), 3, 16, dtype=torch.float64), [0, 1])


@pytest.mark.parametrize(
    "text",
    [{"no_causal_mask": True}, {"no_causal_mask": True, "pool_type": "last"}, {"pool_type": "eos"}],
    ids=str,
)
def test_other_text_towers_agree(text: dict[str, Any]) -> None:
    text = text | ({"eos_id": 299} if text.get("pool_type") == "eos" else {})
    ctx = torch.randn(2, 1, 3, 16, dtype=torch.float64)
    assert_texts_agree(ctx, [0, 1], custom=True, text=text)


def test_the_context_is_still_computed_once_for_all_classes() -> None:
    model = small_clip(layers=3)
    tower = TextTower(model, LetterTokenizer())
    tokens, changes = tower.tokenize(["cat", "horse"]), random_changes(2, 16, [1], torch.float32)
    positions: list[int] = []
    tower.encode_prompts(torch.randn(2, 1, 4, 16), tokens)  # what is known is found on the way
    for block in model.transformer.resblocks:
        block.mlp.register_forward_hook(lambda _, x, y: positions.append(y.shape[:-1].numel()))
    tower.encode_prompts(torch.randn(2, 1, 4, 16), tokens, projections=projections(changes))
    shared = 2 * (1 + 4 + 5 + 7)  # [SOS], each client's own; 4 vectors; "cat.[EOT]"; "horse.[EOT]"
    assert positions == [shared, shared, 2 * 2]


def test_a_large_product_is_shared_by_all_clients() -> None:
    """Clients' own changes leave one product with the frozen weights for all of them."""
    model = small_clip(layers=2)
    tower, asked = TextTower(model, LetterTokenizer()), []

    def of_low_rank(x: Tensor) -> Tensor:
        asked.append(tuple(x.shape))
        return (x @ torch.ones(3, 16, 2)) @ torch.ones(3, 2, 48)

    tower.encode_prompts(
        torch.randn(3, 2, 4, 16), tower.tokenize(["cat"]), projections={0: of_low_rank}
    )
    assert asked == [(3, 2 * (1 + 4 + 5), 16)]


@pytest.mark.parametrize("pool", ["tok", "avg"])
@pytest.mark.parametrize("prompts", [0, 2])
def test_images_of_clients_with_attention_of_their_own(pool: str, prompts: int) -> None:
    model = small_clip(vision={"pool_type": pool}).double()
    tower, clients = ImageTower(model.visual), 3
    pixels = torch.randn(clients, 4, 3, 16, 16, dtype=torch.float64)
    embedded = torch.stack([embed(model.visual, own) for own in pixels])
    changes = random_changes(clients, tower.width, [0, 1])
    given = torch.randn(clients, 2, prompts, tower.width, dtype=torch.float64) if prompts else None
    leaves = [t.requires_grad_() for t in changes.values()]
    ours = tower.encode(embedded, given, projections=projections(changes))
    alone = []
    for c in range(clients):
        with merged(model.visual.transformer, {layer: t[c] for layer, t in changes.items()}):
            if given is None:
                alone.append(model.encode_image(pixels[c])[None, None])
            else:
                alone.append(tower.encode(embedded[c : c + 1], given[c : c + 1]))
    assert_alike(ours, torch.cat(alone), leaves)


def test_adapters_and_projections_go_together() -> None:
    model = small_clip().double()
    text, image = TextTower(model, LetterTokenizer()), ImageTower(model.visual)
    changes = random_changes(1, 16, [0, 1])
    own = {layer: each[0] for layer, each in changes.items()}
    adapters = {0: torch.tanh, 2: torch.sin}
    ctx, names = torch.randn(1, 1, 3, 16, dtype=torch.float64), text.tokenize(NAMES)
    embedded = torch.randn(1, 2, 5, 16, dtype=torch.float64)
    ways: list[tuple[Transformer, Encode]] = [
        (text.transformer, lambda p: text.encode_prompts(ctx, names, "end", {}, adapters, p)),
        (model.visual.transformer, lambda p: image.encode(embedded, None, {}, adapters, p)),
    ]
    for transformer, encode in ways:
        with merged(transformer, own):
            wanted = encode(None)
        assert far(encode(projections(changes)), wanted) < 1e-10


def test_a_layer_that_is_not_there_is_refused() -> None:
    model = small_clip()
    text, image = TextTower(model, LetterTokenizer()), ImageTower(model.visual)
    changes = projections(random_changes(1, 16, [2], torch.float32))
    with pytest.raises(UserError, match="layer 2 of a tower that has 2"):
        text.encode_prompts(torch.zeros(1, 1, 3, 16), text.tokenize(["cat"]), projections=changes)
    with pytest.raises(UserError, match="layer 2 of a tower that has 2"):
        image.encode(torch.zeros(1, 1, 5, 16), projections=changes)


def test_blocks_of_another_kind_are_refused() -> None:
    text = TextTower(small_clip(custom=True, text={"qk_norm": True}), LetterTokenizer())
    changes = projections(random_changes(1, 16, [0], torch.float32))
    with pytest.raises(UserError, match=r"Block\) are not open_clip's plain ones"):
        text.encode_prompts(torch.zeros(1, 1, 3, 16), text.tokenize(["cat"]), projections=changes)

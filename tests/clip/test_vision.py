"""The image tower with prompts: open_clip's own blocks, however few images go through at a time."""

from __future__ import annotations

import pytest
import torch
from open_clip.transformer import VisionTransformer
from small_clip import small_clip
from torch import Tensor

from fplbench.clip import vision
from fplbench.clip.vision import ImageTower


def plainly(
    tower: VisionTransformer, image: Tensor, first: Tensor, deep: dict[int, Tensor]
) -> Tensor:
    """[D] of one image [L, w] with prompts [n, w]: through torch's own blocks."""
    x = tower.ln_pre(torch.cat([image, first])[None])
    for layer, block in enumerate(tower.transformer.resblocks):
        if layer in deep:
            x = torch.cat([x[:, : len(image)], deep[layer][None]], dim=1)
        x = block(x)
    x = x[:, : len(image)]
    pooled = tower.ln_post(x[:, 0]) if tower.pool_type == "tok" else tower.ln_post(x[:, 1:]).mean(1)
    found: Tensor = (pooled @ tower.proj)[0]
    return found


@pytest.mark.parametrize("pool", ["tok", "avg"])
@pytest.mark.parametrize("at_once", ["one image", "two", "all"])
def test_images_alone_and_together(
    pool: str, at_once: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients, prompts, images, length, n, w = 2, 3, 5, 5, 2, 16
    tokens = clients * prompts * (length + n)
    budget = {"one image": 1, "two": 2 * tokens * 4 * w * 8, "all": 2**40}
    monkeypatch.setattr(vision, "IN_CACHE", budget[at_once])
    tower = ImageTower(small_clip(vision={"pool_type": pool}).double().visual)
    noise = torch.Generator().manual_seed(5)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=noise, dtype=torch.float64)

    embedded = drawn(clients, images, length, w)
    first, second = (drawn(clients, prompts, n, w).requires_grad_() for _ in range(2))
    ours = tower.encode(embedded, first, {1: second})
    theirs = torch.stack(
        [
            plainly(tower.visual, embedded[c, b], first[c, p], {1: second[c, p]})
            for c in range(clients)
            for p in range(prompts)
            for b in range(images)
        ]
    ).view(ours.shape)
    weights = drawn(*ours.shape)
    found, wanted = (
        [t, *torch.autograd.grad((t * weights).sum(), [first, second])] for t in (ours, theirs)
    )
    for mine, plain in zip(found, wanted, strict=True):
        assert (mine - plain).abs().max() <= 1e-10 * plain.abs().max()


@pytest.mark.parametrize("kind", ["adapters", "projections"])
def test_what_is_added_inside_sees_all_images_of_a_client_at_once(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or what it draws would come again with every piece."""
    monkeypatch.setattr(vision, "IN_CACHE", 1)
    tower, asked = ImageTower(small_clip().visual), list[tuple[int, ...]]()

    def added(x: Tensor) -> Tensor:
        asked.append(tuple(x.shape))
        return x.new_zeros(*x.shape[:2], (1 if kind == "adapters" else 3) * x.shape[2])

    tower.encode(torch.randn(2, 6, 5, 16), **{kind: {1: added}})
    assert asked == [(2, 6 * 5, 16)]

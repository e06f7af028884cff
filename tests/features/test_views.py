"""Views: crops that lie inside their image, the same in every run, each in its own epochs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_federation import Make, federation, images, task

from fplbench.engine.federation import Federation
from fplbench.engine.local_data import LocalData
from fplbench.features.views import Seen, crop
from fplbench.method import Batch
from fplbench.plugins import registry

__all__ = ["federation", "task"]


@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 5))
def test_a_crop_lies_inside_its_image(width: int, height: int, seed: int) -> None:
    left, top, right, bottom = crop(width, height, np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_a_view_depends_on_its_number_and_the_images_place_alone() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 40, 30, 3), dtype=np.uint8)
    pictures = [Image.fromarray(pixels) for pixels in noise]
    one = Seen(pictures, 1, 16)
    assert one[0].size == (16, 16)
    assert one[0].tobytes() == Seen(pictures, 1, 16)[0].tobytes()
    assert one[1].tobytes() == Seen([pictures[2], pictures[1]], 1, 16)[1].tobytes()
    assert one[0].tobytes() != Seen(pictures, 2, 16)[0].tobytes()
    same = Seen([pictures[0]] * 2, 1, 16)
    assert same[0].tobytes() != same[1].tobytes()  # another place, another crop
    assert Seen([pictures[0].convert("P")], 1, 16)[0].mode == "RGB"


def with_views(fed: Federation, count: int) -> Federation:
    """Features that tell their view: each a multiple of the plain ones."""
    others = tuple(
        replace(fed.images, pooled=(1 + view) * fed.images.pooled, patches=None)
        for view in range(1, count)
    )
    fed.images = replace(fed.images, patches=None, views=others)
    return fed


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_epoch_e_sees_view_e_mod_v(federation: Make, count: int) -> None:
    kind = registry.methods().get("promptfl")
    fed = with_views(federation(kind(kind.Config(n_ctx=3))), count)
    epochs = range(4, 8)
    data = fed.local_data([0, 2], epochs)
    index = torch.tensor([[0, 3], [1, 2]])
    for place, epoch in enumerate(epochs):
        # Clients need not be in the same epoch: the second one is in the round's first.
        batch = of(data, index, torch.tensor([place, 0]))
        first, second = 1 + epoch % count, 1 + epochs[0] % count
        rows = torch.from_numpy(np.stack([fed.scenario.train_rows[c][:4] for c in (0, 2)]))
        plain = fed.images.pooled
        assert plain is not None
        assert torch.equal(batch.pooled[0], first * plain[rows[0, index[0]]])
        assert torch.equal(batch.pooled[1], second * plain[rows[1, index[1]]])
    everything = data.everything().pooled
    assert everything is not None
    assert torch.equal(everything[0, :9], plain[:9])  # what a client keeps is plain


def of(data: LocalData, index: torch.Tensor, epoch: torch.Tensor) -> Batch:
    return data.batch(index, torch.ones_like(index, dtype=torch.bool), epoch, {})


def test_one_view_is_read_where_it_is(federation: Make) -> None:
    kind = registry.methods().get("promptfl")
    fed = federation(kind(kind.Config(n_ctx=3)))
    data = fed.local_data([0, 1], range(2))
    assert data.pooled is fed.images.pooled
    assert images(4, seed=1).views == ()

"""The validation split: test images are out of reach, and no training image is lost or doubled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fplbench.features.images import Images
from fplbench.grid.validation import on_validation, validation_rows
from fplbench.plugins import registry


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60), seed=st.integers(0, 9))
def test_every_image_is_trained_on_or_validated_on(labels: list[int], seed: int) -> None:
    every = np.array(labels, dtype=np.int64)
    fit, held = validation_rows(every, seed)
    assert sorted([*fit, *held]) == list(range(len(every)))
    for label in set(labels):
        count = int((every == label).sum())
        assert int((every[held] == label).sum()) == (max(1, count // 5) if count > 1 else 0)


def test_the_split_hangs_on_the_seed_alone() -> None:
    labels = np.arange(100) % 4
    first, again, other = (validation_rows(labels, seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_images_and_features_stay_together(tmp_path_factory: pytest.TempPathFactory) -> None:
    data = registry.datasets().get("digits")().load(None, tmp_path_factory.mktemp("digits"))
    count = len(data.train.labels)
    features = Images(data.train.labels, torch.arange(count, dtype=torch.float)[:, None], None)
    view, train, test = on_validation(data, features, seed=0)
    assert len(view.train.images) + len(view.test.images) == count
    for split, part in ((view.train, train), (view.test, test)):
        assert np.array_equal(split.labels, part.labels)
        row = int(part.pooled[3, 0])
        assert np.array_equal(np.asarray(split.images[3]), np.asarray(data.train.images[row]))
    assert "validation" in view.split_source


def test_every_kind_of_feature_and_every_view_is_cut_alike(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data = registry.datasets().get("digits")().load(None, tmp_path_factory.mktemp("digits"))
    count = len(data.train.labels)

    def of(view: int, views: tuple[Images, ...] = ()) -> Images:
        rows = 1000.0 * view + torch.arange(count, dtype=torch.float)
        return Images(
            labels=data.train.labels,
            pooled=rows[:, None],
            patches=rows[:, None, None],
            embedded=rows[:, None, None],
            norms=rows,
            mirrored=rows[:, None],
            views=views,
        )

    _, train, held = on_validation(data, of(0, (of(1),)), 0)
    for part in (train, held):
        assert part.pooled is not None
        rows = part.pooled[:, 0]
        (other,) = part.views
        for view, one in enumerate((part, other)):
            for kind in ("pooled", "patches", "embedded", "norms", "mirrored"):
                assert torch.equal(getattr(one, kind).flatten(), 1000.0 * view + rows)

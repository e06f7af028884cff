"""A validation split: settings are chosen on it, so that no test image ever chooses anything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from fplbench import rng
from fplbench.dataset import Data, IntArray
from fplbench.features.images import Images

SHARE = 5  # one training image in five is kept for validation


def validation_rows(labels: IntArray, seed: int) -> tuple[IntArray, IntArray]:
    """Rows to train on and rows to validate on, [M] cut in two, class by class.

    labels: [M]. A class with fewer than two images stays in training.
    """
    order = rng.numpy_generator(seed, "validation").permutation(len(labels))
    kept = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        own = order[labels[order] == label]
        if len(own) > 1:
            kept[own[: max(1, len(own) // SHARE)]] = True
    return np.flatnonzero(~kept), np.flatnonzero(kept)


def on_validation(data: Data, train: Images, seed: int) -> tuple[Data, Images, Images]:
    """The data set with its test split replaced by a fifth of its training split.

    Returns the data, the features to train on and those to test on; the test images are out of
    reach from here on.
    """
    view, fit, held = held_out(data, seed)
    return view, _features(train, fit), _features(train, held)


def held_out(data: Data, seed: int) -> tuple[Data, IntArray, IntArray]:
    """The data of `on_validation`, and the rows of the training split behind both of its own."""
    fit, held = validation_rows(data.train.labels, seed)
    view = replace(
        data,
        train=data.train.part(fit),
        test=data.train.part(held),
        split_source=f"{data.split_source}; validation: a fifth of the training images",
    )
    return view, fit, held


def _features(images: Images, rows: IntArray) -> Images:
    index = torch.from_numpy(rows)
    return Images(
        labels=images.labels[rows],
        pooled=images.pooled[index],
        patches=None if images.patches is None else images.patches[index],
        embedded=None if images.embedded is None else images.embedded[index],
        norms=None if images.norms is None else images.norms[index],
        mirrored=None if images.mirrored is None else images.mirrored[index],
        views=tuple(_features(view, rows) for view in images.views),
    )

"""The pickled batches of both CIFARs: pixels in rows of 3,072 numbers, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fplbench.data.pickles import read_pickle
from fplbench.data.splits import OFFICIAL, Contents, spaced
from fplbench.dataset import ImageArray, Split
from fplbench.errors import UserError


def read_batches(
    folder: Path, train: Sequence[str], test: str, labels: str, meta: str, names: str
) -> Contents:
    """train, test, meta: files; labels, names: the keys of labels and of class names in them."""
    classnames = read_pickle(folder / meta)[names]
    return Contents(
        tuple(spaced(name) for name in classnames),
        _split(folder, train, labels),
        _split(folder, [test], labels),
        OFFICIAL,
        "official",
    )


def _split(folder: Path, files: Sequence[str], labels: str) -> Split:
    batches = [read_pickle(folder / name) for name in files]
    try:
        pixels = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        targets = np.concatenate([batch[labels] for batch in batches]).astype(np.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder / files[0]} holds no CIFAR pictures ({error}): download it again."
        ) from error
    images = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1).astype(np.uint8, copy=False))
    return Split(ImageArray(images), targets)

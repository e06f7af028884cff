"""Real handwritten digits: the 1,797 images of 8 by 8 pixels that scikit-learn ships."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fplbench.dataset import Data, Dataset, ImageArray, Split

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPLIT_SEED = 0
TEST_SHARE = 0.4


class Digits(Dataset):
    name: ClassVar[str] = "digits"
    summary: ClassVar[str] = "1,797 real handwritten digits, never seen by the embedded backbone"
    default_scenario: ClassVar[str] = "personal"
    source: ClassVar[str] = "UCI optical recognition of handwritten digits, from scikit-learn"

    def load(self, root: Path | None, cache: Path) -> Data:
        pixels, target = load_digits(return_X_y=True)
        # Ink from 0 to 16 becomes gray from 0 to 255.
        images = (pixels.reshape(-1, 8, 8) * (255 / 16)).round().astype(np.uint8)
        labels = target.astype(np.int64)
        train, test = train_test_split(
            np.arange(len(labels)), test_size=TEST_SHARE, stratify=labels, random_state=SPLIT_SEED
        )
        digest = hashlib.sha256()
        for rows in (train, test):
            digest.update(images[rows].tobytes() + labels[rows].tobytes())
        return Data(
            classnames=CLASSES,
            train=Split(ImageArray(images[train]), labels[train]),
            test=Split(ImageArray(images[test]), labels[test]),
            templates=('a photo of the number: "{}".',),
            fingerprint=digest.hexdigest()[:16],
            split_source=f"stratified, {TEST_SHARE:.0%} test, seed {SPLIT_SEED}",
        )

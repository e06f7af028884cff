"""Pictures into features, once for a data set: what files, transform and tower take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from measure import once
from PIL import Image
from sklearn.datasets import load_sample_images

from fplbench.clip.backbone import Backbone
from fplbench.features import cache

Row = Callable[..., None]
IMAGES, AT_ONCE = 64, 16  # a batch is decoded while the one before goes through the tower
SIZES = {"32 x 32, as CIFAR's": (32, 32), "500 x 375, as Pets'": (500, 375)}


class Files:
    """Crops of scikit-learn's two photographs, as JPEG files."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        draw, (width, height) = np.random.default_rng(0), size
        self.paths = []
        for i in range(IMAGES):
            photograph = load_sample_images().images[i % 2]
            top = draw.integers(photograph.shape[0] - height + 1)
            left = draw.integers(photograph.shape[1] - width + 1)
            cut = photograph[top : top + height, left : left + width]
            self.paths.append(folder / f"{i}.jpg")
            Image.fromarray(cut).save(self.paths[-1], quality=90)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Image.Image:
        with Image.open(self.paths[index]) as image:
            return image.convert("RGB")


@pytest.mark.parametrize("case", SIZES)
def test_features(
    case: str, clip: Backbone, row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "IMAGES_AT_ONCE", AT_ONCE)
    files = Files(tmp_path, SIZES[case])
    images = [files[i] for i in range(IMAGES)]
    pixels = torch.stack([clip.preprocess(image) for image in images]).to(clip.device)
    batches = pixels.split(AT_ONCE)
    clip.images(batches[0])
    works = {
        "decode": lambda: [files[i] for i in range(IMAGES)],
        "transform": lambda: [clip.preprocess(image) for image in images],
        "tower": lambda: [clip.images(batch) for batch in batches],
        "together": lambda: list(cache._encode(clip, files, ["pooled"], clip.device, None)),
    }
    took = {name: once(work, clip.device) for name, work in works.items()}
    each = {f"{name}_ms": 1e3 * spent / IMAGES for name, spent in took.items()}
    row("features", case=case, size=IMAGES, **each, tower_share=took["tower"] / took["together"])

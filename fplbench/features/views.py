"""Views of an image: the crops and flips that published training draws at every step, seeded.

View v of an image depends on v and on the image's place in its split alone, so that its features
are computed once, for all methods and seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from PIL import Image

from fplbench import rng

VIEWS_VERSION = 1
"""Rises when a view of the same number becomes another picture."""

SCALE = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)
TRIES = 10
"""Share of the area, and width over height, of a crop; draws before the largest fitting crop is
taken: as in CoOp's configurations (random_resized_crop, random_flip) and torchvision's
RandomResizedCrop, which those use."""


@dataclass(frozen=True)
class Seen(Sequence[Image.Image]):
    """Images as view `view` shows them, size x size pixels, opened when asked for."""

    images: Sequence[Image.Image]
    view: int
    size: int

    def __len__(self) -> int:
        return len(self.images)

    @overload
    def __getitem__(self, position: int) -> Image.Image: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[Image.Image]: ...
    def __getitem__(self, position: int | slice) -> Image.Image | Sequence[Image.Image]:
        if isinstance(position, slice):
            return [self[i] for i in range(*position.indices(len(self)))]
        chance = rng.numpy_generator(0, "view", self.view, position)
        return seen(self.images[position].convert("RGB"), self.size, chance)


def seen(image: Image.Image, size: int, chance: np.random.Generator) -> Image.Image:
    """A random crop, resized to size x size (bicubic), flipped half of the time."""
    box = crop(*image.size, chance)
    view = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    if chance.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return view


def crop(width: int, height: int, chance: np.random.Generator) -> tuple[int, int, int, int]:
    """left, top, right, bottom of a crop inside an image; at least one pixel."""
    for _ in range(TRIES):
        area = width * height * chance.uniform(*SCALE)
        ratio = np.exp(chance.uniform(*np.log(RATIO)))
        w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left = int(chance.integers(width - w + 1))
            top = int(chance.integers(height - h + 1))
            return left, top, left + w, top + h
    w, h = min(width, round(height * RATIO[1])), min(height, round(width / RATIO[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h

"""Small real picture files, plain and odd, for tests of data sets on disk."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (12, 10)


def pixels(key: str, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Colours that follow from a text alone, uint8 [H, W, 3]; another text, another picture."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    low = rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(low).resize(size, Image.Resampling.BILINEAR))


def picture(path: Path, key: str | None = None) -> Path:
    """A JPEG or PNG file, by the ending of its name; by default its colours follow the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(key or "/".join(path.parts[-3:]))).save(path)
    return path


def class_tree(folder: Path, classes: dict[str, int], ending: str = "jpg") -> Path:
    """CLASS/0.jpg, CLASS/1.jpg, ...: so many pictures of each class."""
    for name, count in classes.items():
        for number in range(count):
            picture(folder / name / f"{number}.{ending}")
    return folder

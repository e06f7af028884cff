"""Rendered data sets: drawn once from a recipe, kept in the cache, checked when read again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fplbench.dataset import ImageArray, IntArray, Split
from fplbench.embedded import fields as render_fields
from fplbench.embedded import render as renderer
from fplbench.embedded.render import COLOURS, PATTERNS, SHAPES, STYLES, Difficulty, Labels, render
from fplbench.machine.caches import CACHE
from fplbench.records.atomic import write_aside, writing
from fplbench.rng import derive, numpy_generator

Pixels = NDArray[np.uint8]


def balanced_classes(seed: int, words: Sequence[Sequence[str]], count: int) -> list[str]:
    """`count` different names, one word of each list in turn, in two halves.

    Within each half every word occurs as often as any other of its list, or once more. Seeded;
    drawn again until no name occurs twice.
    """
    for attempt in range(1000):
        rng = numpy_generator(seed, "classes", attempt)
        halves = [_half(rng, words, size) for size in (count // 2, count - count // 2)]
        names = halves[0] + halves[1]
        if len(set(names)) == count:
            return names
    raise ValueError(f"no {count} different names from {[len(list_) for list_ in words]} words")


def _half(rng: np.random.Generator, words: Sequence[Sequence[str]], size: int) -> list[str]:
    columns = []
    for options in words:
        # Permutations one after another, cut to size: counts differ by one at most.
        rounds = -(-size // len(options))
        order = np.concatenate([rng.permutation(len(options)) for _ in range(rounds)])[:size]
        columns.append([options[k] for k in order])
    return [" ".join(parts) for parts in zip(*columns, strict=True)]


@dataclass(frozen=True)
class Recipe:
    """What a rendered data set shows: `train` and `test` pictures of each class in each style.

    classes: names of three words, "colour pattern shape"; styles: names from render.STYLES.
    """

    name: str
    seed: int
    classes: tuple[str, ...]
    styles: tuple[str, ...]
    train: int
    test: int
    difficulty: Difficulty
    size: int = 48

    def fingerprint(self) -> str:
        """Of this recipe and of the renderer's own text, so that an old cache is not taken."""
        digest = hashlib.sha256(repr(self).encode())
        for module in (renderer, render_fields):
            assert module.__file__ is not None
            digest.update(Path(module.__file__).read_bytes())
        return digest.hexdigest()[:12]

    def targets(self, per_class: int) -> tuple[IntArray, IntArray]:
        """Labels and styles (both [M], indices into classes and styles) of one split."""
        each = np.arange(len(self.classes) * len(self.styles))
        each = np.repeat(each, per_class)
        return each // len(self.styles), each % len(self.styles)

    def draw(self, split: str, per_class: int) -> Pixels:
        """The pictures of one split, uint8 [M, size, size, 3]."""
        target, style = self.targets(per_class)
        words = [name.split() for name in self.classes]
        shape = np.array([SHAPES.index(w[2]) for w in words])
        colour = np.array([list(COLOURS).index(w[0]) for w in words])
        pattern = np.array([PATTERNS.index(w[1]) for w in words])
        drawn = np.array([list(STYLES).index(s) for s in self.styles])
        labels = Labels(shape[target], colour[target], pattern[target], drawn[style])
        seed = derive(self.seed, self.name, split)
        pictures = render(seed, np.arange(len(target)), labels, self.difficulty, self.size)
        return pictures.numpy()


def rendered_splits(recipe: Recipe, cache: Path) -> tuple[Split, Split, str]:
    """Train and test split of a recipe and the fingerprint of their pixels, labels and order.

    The domains of a split are its styles.
    """
    pixels = _cached_pixels(recipe, cache)
    digest = hashlib.sha256(pixels.data)
    splits = []
    count = len(recipe.classes) * len(recipe.styles) * recipe.train
    for part, per_class in ((pixels[:count], recipe.train), (pixels[count:], recipe.test)):
        labels, styles = recipe.targets(per_class)
        digest.update(labels.tobytes() + styles.tobytes())
        splits.append(Split(ImageArray(part), labels, styles))
    digest.update("\n".join((*recipe.classes, *recipe.styles)).encode())
    return splits[0], splits[1], digest.hexdigest()[:16]


def _cached_pixels(recipe: Recipe, cache: Path) -> Pixels:
    """All pictures, training ones first. The file's name carries a checksum of its pixels, so a
    torn or changed file is noticed, and drawn again."""
    prefix = f"{recipe.name}-{recipe.fingerprint()}-"
    for path in sorted(cache.glob(f"{prefix}*.npy")):
        try:
            pixels: Pixels = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            continue
        if path.stem == prefix + _checksum(pixels):
            return pixels
    pixels = np.concatenate([recipe.draw("train", recipe.train), recipe.draw("test", recipe.test)])
    cache.mkdir(parents=True, exist_ok=True)
    with writing(cache, CACHE), write_aside(cache / f"{prefix}{_checksum(pixels)}.npy") as file:
        np.save(file, pixels)
    return pixels


def _checksum(pixels: Pixels) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()[:16]

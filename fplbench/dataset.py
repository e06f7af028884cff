"""The contract of a data set: one file in datasets/ (or a plug-in) with one subclass of Dataset."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, overload

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image, fromarray

from fplbench.errors import UserError
from fplbench.plugins.base import Plugin

IntArray = NDArray[np.int64]


class ImageArray(Sequence[Image]):
    """Images in one array, uint8 [M, H, W, 3] or [M, H, W]; each becomes an RGB image when
    asked for."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    @overload
    def __getitem__(self, index: int) -> Image: ...

    @overload
    def __getitem__(self, index: slice) -> ImageArray: ...

    def __getitem__(self, index: int | slice) -> Image | ImageArray:
        if isinstance(index, slice):
            return ImageArray(self.pixels[index])
        return fromarray(self.pixels[index]).convert("RGB")


@dataclass(frozen=True)
class Part(Sequence[Image]):
    """Some images of a sequence, opened when asked for. rows: where in it each of them is."""

    images: Sequence[Image]
    rows: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Image: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Image]: ...

    def __getitem__(self, index: int | slice) -> Image | Sequence[Image]:
        if isinstance(index, slice):
            return Part(self.images, self.rows[index])
        return self.images[int(self.rows[index])]


@dataclass(frozen=True)
class Split:
    """Images with their labels; an image is opened when it is asked for, as RGB.

    labels, domains: [M], indices into the class names and the domain names.
    """

    images: Sequence[Image]
    labels: IntArray
    domains: IntArray | None = None

    def __post_init__(self) -> None:
        for values in (self.labels, self.domains):
            if values is not None and len(values) != len(self.images):
                raise ValueError(f"{len(self.images)} images but {len(values)} labels or domains")

    def part(self, rows: IntArray) -> Split:
        """Some of its images, in the order of `rows`."""
        domains = None if self.domains is None else self.domains[rows]
        return Split(Part(self.images, rows), self.labels[rows], domains)

    def whole(self) -> tuple[Sequence[Image], IntArray]:
        """The data set's images that these are some of, and [M]: where among them each is."""
        images, rows = self.images, np.arange(len(self.labels))
        while isinstance(images, Part):
            rows = images.rows[rows]
            images = images.images
        return images, rows


@dataclass(frozen=True)
class Data:
    """A data set in memory or ready to be read.

    templates: CLIP's own prompts for it, each with one "{}" for the class name.
    fingerprint: changes whenever an image, a label or the order changes; feature caches and
    cell ids hang on it.
    split_source: where the train/test split comes from, as written into every record;
    split_kind: whose it is, in a word, for comparing with published numbers.
    own_templates: [K], those of each class, where classes come from data sets with others.
    notes: what a reader of the numbers should know of these data; goes into every record.
    """

    classnames: tuple[str, ...]
    train: Split
    test: Split
    templates: tuple[str, ...]
    fingerprint: str
    split_source: str
    domains: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    split_kind: str = ""
    own_templates: tuple[tuple[str, ...], ...] = ()


class Dataset(Plugin):
    """One data set; the class attributes are what `fplbench list datasets` shows.

    default_scenario: where a run names none; "" is the one that is usual for such data.
    """

    kind = "data set"
    texts = ("summary",)
    summary: ClassVar[str]
    default_scenario: ClassVar[str] = ""
    source: ClassVar[str] = ""

    @classmethod
    def join(cls, other: type[Dataset]) -> type[Dataset]:
        """Both in one, as `Joined`."""
        parts = (*(cls.parts or (cls,)), *(other.parts or (other,)))
        names = [part.name for part in parts]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UserError(
                f"{' and '.join(twice)} stands twice in {'+'.join(names)}: once will do."
            )
        return type("Joined", (Joined,), {"name": "+".join(names), "parts": parts})

    def missing(self, root: Path | None) -> str | None:
        """None when the data are there, else one sentence: what is missing and how to get it.

        root: the folder of data sets (--data-root or FPLBENCH_DATA), None when not given.
        Embedded data sets are never missing.
        """
        return None

    @abstractmethod
    def load(self, root: Path | None, cache: Path) -> Data:
        """Read or render the data; `cache` is a folder this data set may keep files in."""


class Joined(Dataset):
    """Several data sets in one, "NAME+OTHER": all their classes, and each of them a domain."""

    name = "NAME+OTHER"
    summary = "several data sets in one federation"

    def missing(self, root: Path | None) -> str | None:
        found = [sentence for part in self.parts if (sentence := part().missing(root))]
        return " ".join(found) or None

    def load(self, root: Path | None, cache: Path) -> Data:
        return together(
            [part.name for part in self.parts], [p().load(root, cache) for p in self.parts]
        )


def together(names: Sequence[str], parts: Sequence[Data]) -> Data:
    """Data sets one behind the other: their classes with their own templates, and their images."""
    starts = np.cumsum([0, *(len(part.classnames) for part in parts)])
    templates = tuple(dict.fromkeys(each for part in parts for each in part.templates))
    own = [part.own_templates or (part.templates,) * len(part.classnames) for part in parts]

    def joined(splits: Sequence[Split]) -> Split:
        images = Chained([split.images for split in splits])
        labels = [split.labels + first for split, first in zip(splits, starts, strict=False)]
        sizes = [len(split.images) for split in splits]
        return Split(images, np.concatenate(labels), np.repeat(np.arange(len(parts)), sizes))

    return Data(
        classnames=tuple(name for part in parts for name in part.classnames),
        train=joined([part.train for part in parts]),
        test=joined([part.test for part in parts]),
        templates=templates,
        fingerprint="+".join(part.fingerprint for part in parts),
        split_source="; ".join(f"{n}: {p.split_source}" for n, p in zip(names, parts, strict=True)),
        domains=tuple(names),
        notes=tuple(f"{n}: {note}" for n, p in zip(names, parts, strict=True) for note in p.notes),
        own_templates=tuple(each for classes in own for each in classes),
    )


class Chained(Sequence[Image]):
    """Images of several sequences, one behind the other."""

    def __init__(self, parts: Sequence[Sequence[Image]]) -> None:
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self.ends[-1])

    @overload
    def __getitem__(self, index: int) -> Image: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Image]: ...

    def __getitem__(self, index: int | slice) -> Image | Sequence[Image]:
        if isinstance(index, slice):
            return [self[row] for row in range(len(self))[index]]
        row = range(len(self))[index]
        which = int(np.searchsorted(self.ends, row, side="right"))
        return self.parts[which][row - (int(self.ends[which]) - len(self.parts[which]))]

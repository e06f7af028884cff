"""The contract of a data set: one file in datasets/ (or a plug-in) with one subclass of Dataset."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self, overload

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


@dataclass(frozen=True)
class Data:
    """A data set in memory or ready to be read.

    templates: CLIP's own prompts for it, each with one "{}" for the class name.
    fingerprint: changes whenever an image, a label or the order changes; feature caches and
    cell ids hang on it.
    split_source: where the train/test split comes from, as written into every record;
    split_kind: whose it is, in a word, for comparing with published numbers.
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


class Dataset(Plugin):
    """One data set; the class attributes are what `fplbench list datasets` shows.

    wants: what a user writes behind "NAME:", PATH for one; "" where the name is enough.
    argument: what stands there in a class made by `of`.
    """

    kind = "data set"
    texts = ("summary",)
    summary: ClassVar[str]
    default_scenario: ClassVar[str] = "base2novel"
    source: ClassVar[str] = ""
    wants: ClassVar[str] = ""
    argument: ClassVar[str] = ""

    @classmethod
    def parse(cls, argument: str) -> type[Self] | None:
        if argument:
            return cls.of(argument) if cls.wants else None
        if cls.wants:
            raise UserError(
                f"The data set {cls.name} needs a {cls.wants}: write {cls.name}:{cls.wants}."
            )
        return cls

    @classmethod
    def of(cls, argument: str) -> type[Self]:
        """This data set with its argument, under the name "NAME:ARGUMENT"."""
        return type(cls.__name__, (cls,), {"name": f"{cls.name}:{argument}", "argument": argument})

    def missing(self, root: Path | None) -> str | None:
        """None when the data are there, else one sentence: what is missing and how to get it.

        root: the folder of data sets (--data-root or FPLBENCH_DATA), None when not given.
        Embedded data sets are never missing.
        """
        return None

    @abstractmethod
    def load(self, root: Path | None, cache: Path) -> Data:
        """Read or render the data; `cache` is a folder this data set may keep files in."""

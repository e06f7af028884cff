"""The base of data sets whose files a user has on disk: facts, where to look, how to read."""

from __future__ import annotations

import hashlib
import os
from abc import ABC
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fplbench.data.images import ImageFiles
from fplbench.data.names import composed
from fplbench.data.splits import OURS, Contents, spaced, zhou_split
from fplbench.dataset import Data, Dataset, Split

DEFAULT_ROOT = Path("data")


@dataclass(frozen=True)
class Layout:
    """One way in which the files of a data set lie on disk.

    folder: below the root, or below root/NAME. needs: what must be in it. read: what it holds;
    None where the data set's own `contents` tells. images: where in it the files of a
    split_zhou_*.json lie.
    """

    folder: str
    needs: tuple[str, ...] = ()
    read: Callable[[Path], Contents] | None = None
    images: str = "."


@dataclass(frozen=True)
class Download:
    """One file to fetch.

    checksum: "md5:..." or "sha256:...", "" where nobody published one. into: the folder below
    the root that it is unpacked or copied to. inner: archives inside the archive, relative to
    `into`, that are unpacked where they lie.
    """

    url: str
    checksum: str = ""
    into: str = "."
    inner: tuple[str, ...] = ()


@dataclass(frozen=True)
class Counts:
    """Published numbers of training and test images, and of each class where all classes have
    equally many. train is None where the training images are another data set's."""

    train: int | None
    test: int
    train_each: int | None = None
    test_each: int | None = None


class OnDisk(Dataset, ABC):
    """A data set of files. A subclass states facts; reading is in its layouts.

    title, licence: of the data. classes, images: their published number, 0 where nobody
    published it. domain_images: the same by domain. counts: published, for
    the kinds of splits that are fixed (OFFICIAL, ZHOU). size: bytes to download. zhou: the name
    of its split_zhou_*.json. by_hand: how to get what no program may download.
    """

    title: ClassVar[str]
    licence: ClassVar[str]
    templates: ClassVar[tuple[str, ...]] = ("a photo of a {}.",)
    classes: ClassVar[int]
    images: ClassVar[int]
    size: ClassVar[int] = 0
    counts: ClassVar[dict[str, Counts]] = {}
    domain_images: ClassVar[dict[str, int]] = {}
    layouts: ClassVar[tuple[Layout, ...]]
    zhou: ClassVar[str] = ""
    downloads: ClassVar[tuple[Download, ...]] = ()
    by_hand: ClassVar[str] = ""

    @staticmethod
    def classname(raw: str) -> str:
        """From a class's name on disk to the one in a prompt."""
        return spaced(raw)

    @classmethod
    def places(cls, root: Path | None) -> Iterator[tuple[Layout, Path]]:
        """Where the files may lie, in order; also where the root is the data set's own folder."""
        top = data_root(root)
        seen = set()
        for layout in cls.layouts:
            first = layout.folder.partition("/")[0]
            around = [top.parent] if first == top.name else []
            for place in (top, top / cls.name, *around):
                if (layout, place) not in seen:
                    seen.add((layout, place))
                    yield layout, place / layout.folder
                    # Unpacked twice over, as archives of Kaggle's are.
                    yield layout, place / layout.folder / Path(layout.folder).name

    @classmethod
    def find(cls, root: Path | None) -> tuple[Layout, Path] | None:
        """The first place that has all it needs; one with a split_zhou_*.json before others."""
        found = [
            (layout, folder)
            for layout, folder in cls.places(root)
            if folder.is_dir() and all((folder / need).exists() for need in layout.needs)
        ]
        with_split = [(la, f) for la, f in found if cls.split_file(f, root) is not None]
        return next(iter(with_split or found), None)

    @classmethod
    def split_file(cls, folder: Path, root: Path | None) -> Path | None:
        """The split_zhou_*.json beside the data."""
        if not cls.zhou:
            return None
        places = (folder, folder.parent, data_root(root) / cls.name)
        return next((p / cls.zhou for p in places if (p / cls.zhou).is_file()), None)

    def missing(self, root: Path | None) -> str | None:
        if self.find(root) is not None:
            return None
        top = data_root(root)
        if not top.is_dir():
            looked = f"there is no folder {top}"
        else:
            looked = f"looked in {top} for {self.looked_for(root)}"
        how = f"fplbench data download {self.name}" if self.downloads else self.by_hand
        return f"{self.name} is not there ({looked}): {how}, or name the folder with --data-root."

    def looked_for(self, root: Path | None) -> str:
        """The folders looked for; one that is there but lacks something is named with it."""
        parts: dict[str, str] = {}
        for layout, folder in self.places(root):
            lacking = [need for need in layout.needs if not (folder / need).exists()]
            text = layout.folder
            if folder.is_dir() and lacking and layout.folder != ".":
                text += f" (there, but without {', '.join(lacking)})"
            parts.setdefault(layout.folder, text)
            if text != layout.folder:
                parts[layout.folder] = text
        return ", ".join(parts.values())

    def load(self, root: Path | None, cache: Path) -> Data:
        contents = self.contents(root)
        return Data(
            classnames=contents.classnames,
            train=contents.train,
            test=contents.test,
            templates=self.templates,
            fingerprint=fingerprint(contents),
            split_source=contents.split_source,
            domains=contents.domains,
            notes=self.shortfall(contents),
            split_kind=contents.kind,
        )

    def contents(self, root: Path | None) -> Contents:
        """What lies on disk, split as CoOp did where its split_zhou_*.json lies there too."""
        place = self.find(root)
        assert place is not None, "load is called for data that are there"
        layout, folder = place
        split = self.split_file(folder, root)
        if split is None:
            assert layout.read is not None, "a layout without a reader needs its own contents"
            return layout.read(folder)
        return zhou_split(split, folder, layout.images, self.classname)

    def shortfall(self, contents: Contents) -> tuple[str, ...]:
        """A note where the numbers are not the published ones; numbers of a part of the data are
        no numbers of the data set."""
        found = (len(contents.train.images), len(contents.test.images))
        counts = self.counts.get(contents.kind)
        wanted = None if counts is None else (counts.train or found[0], counts.test)
        if wanted is not None and found != wanted:
            return (
                f"{found[0]:,} training and {found[1]:,} test images, where {wanted[0]:,} and "
                f"{wanted[1]:,} are published",
            )
        if contents.kind == OURS and self.images and sum(found) != self.images:
            return (f"{sum(found):,} images, where {self.images:,} are published",)
        return ()


def data_root(root: Path | None) -> Path:
    """The folder of data sets: --data-root, FPLBENCH_DATA, or ./data."""
    return DEFAULT_ROOT if root is None else Path(os.path.expanduser(root))


def fingerprint(contents: Contents) -> str:
    """Of names in Unicode's composed form, labels, order and, where pictures lie in memory, pixels.
    Files are added when they are examined (fplbench.data.prepare)."""
    names = composed("\n".join((*contents.classnames, "", *contents.domains)))
    digest = hashlib.sha256(names.encode())
    for split in (contents.train, contents.test):
        digest.update(_of_split(split))
    return digest.hexdigest()[:16]


def _of_split(split: Split) -> bytes:
    digest = hashlib.sha256(split.labels.tobytes())
    if split.domains is not None:
        digest.update(split.domains.tobytes())
    if isinstance(split.images, ImageFiles):
        names = composed("\0".join(split.images.names))
        digest.update(names.encode("utf-8", "surrogateescape"))
    else:
        pixels = getattr(split.images, "pixels", None)
        if pixels is None:
            raise TypeError("pictures in memory are an ImageArray")
        digest.update(pixels.tobytes())
    return digest.digest()

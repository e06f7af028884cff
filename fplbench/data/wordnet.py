"""What ImageNet and the data sets with its classes share: names, and where ImageNet lies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from fplbench.data.images import ImageFiles
from fplbench.data.on_disk import OnDisk, data_root
from fplbench.data.splits import (
    OFFICIAL,
    Contents,
    Entry,
    class_folders,
    numbered,
    seeded,
    text_lines,
    tree,
)
from fplbench.dataset import Split
from fplbench.errors import UserError

# Folders with train and val in them: CoOp's page, torchvision's root as people name it.
IMAGENET_FOLDERS = ("imagenet/images", "imagenet", "ILSVRC2012", "ImageNet")
NAMES = "classnames.txt"


@cache
def wordnet_ids() -> tuple[str, ...]:
    """The 1,000 ids of ILSVRC 2012 in the order of its labels, from timm."""
    from timm.data.imagenet_info import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_names())  # type: ignore[no-untyped-call]


@cache
def cleaned_names() -> dict[str, str]:
    """Id -> class name as OpenAI cleaned them for CLIP, from open_clip. Two names stand for two
    ids each there: "missile" and "sunglasses"."""
    from open_clip import IMAGENET_CLASSNAMES

    return dict(zip(wordnet_ids(), IMAGENET_CLASSNAMES, strict=True))


def names_of(ids: Sequence[str], folder: Path) -> list[str]:
    """Class names of these ids: of CoOp's classnames.txt beside the data, else open_clip's."""
    path = next((p / NAMES for p in (folder, folder.parent) if (p / NAMES).is_file()), None)
    if path is None:
        known = cleaned_names()
    else:
        pairs = [line.partition(" ") for line in text_lines(path)]
        known = {wordnet_id: name.strip() for wordnet_id, _, name in pairs}
    unknown = [wordnet_id for wordnet_id in ids if wordnet_id not in known]
    if unknown:
        raise UserError(
            f"{folder}: the folder {unknown[0]} is none of ImageNet's classes"
            f"{f' in {path}' if path else ''}: remove it or correct its name."
        )
    return [known[wordnet_id] for wordnet_id in ids]


def find_imagenet(root: Path | None) -> Path | None:
    """The folder with ImageNet's train and val."""
    folders = (data_root(root) / name for name in IMAGENET_FOLDERS)
    return next((f for f in folders if (f / "train").is_dir() and (f / "val").is_dir()), None)


def training_entries(folder: Path, ids: Sequence[str]) -> list[Entry]:
    """ImageNet's training images of these classes."""
    return tree(folder, "train", numbered(ids))


class Variant(OnDisk):
    """Other pictures of ImageNet's classes, published for testing only.

    Where ImageNet lies under the same root, its training images of these classes are the
    training images, as in the literature; else the pictures are split by a seed. Either is
    recorded.
    """

    templates: ClassVar = ("a photo of a {}.",)

    @staticmethod
    def wordnet_id(folder: str) -> str:
        """From a class's folder to its id."""
        return folder

    def contents(self, root: Path | None) -> Contents:
        place = self.find(root)
        assert place is not None
        folder = place[1]
        names = sorted(class_folders(folder), key=self.wordnet_id)
        ids = [self.wordnet_id(name) for name in names]
        classnames, entries = names_of(ids, folder), tree(folder, "", numbered(names))
        imagenet = find_imagenet(root)
        if imagenet is None:
            return seeded(folder, classnames, entries)
        train = training_entries(imagenet, ids)
        source = f"training images of ImageNet, all of {self.title} for testing"
        return Contents(
            tuple(classnames), _split(imagenet, train), _split(folder, entries), OFFICIAL, source
        )


def _split(folder: Path, entries: Sequence[Entry]) -> Split:
    labels = np.array([entry.label for entry in entries], dtype=np.int64)
    return Split(ImageFiles(folder, [entry.file for entry in entries]), labels)

"""ImageNet (ILSVRC 2012): 1,000 classes; its validation images are the test images."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.on_disk import Counts, Layout, OnDisk
from fplbench.data.splits import (
    OFFICIAL,
    Contents,
    class_folders,
    from_entries,
    numbered,
    tree,
)
from fplbench.data.wordnet import IMAGENET_FOLDERS, names_of, training_entries
from fplbench.errors import UserError


def official(folder: Path) -> Contents:
    ids = class_folders(folder / "train")
    if not class_folders(folder / "val"):
        raise UserError(
            f"{folder / 'val'} has no class folders: sort its files into val/nXXXXXXXX/, as "
            "torchvision's ImageNet and valprep.sh do."
        )
    names = names_of(ids, folder)
    test = tree(folder, "val", numbered(ids))
    source = "official, val for testing"
    return from_entries(folder, names, training_entries(folder, ids), test, OFFICIAL, source)


class ImageNet(OnDisk):
    name: ClassVar = "imagenet"
    title: ClassVar = "ImageNet (ILSVRC 2012)"
    summary: ClassVar = "1,000 classes of everything"
    source: ClassVar = (
        "Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015; "
        "https://image-net.org"
    )
    licence: ClassVar = "for non-commercial research and education; registration"
    classes: ClassVar = 1_000
    images: ClassVar = 1_331_167
    counts: ClassVar = {OFFICIAL: Counts(1_281_167, 50_000, test_each=50)}
    layouts: ClassVar = tuple(
        Layout(folder, ("train", "val"), official) for folder in IMAGENET_FOLDERS
    )
    size: ClassVar = 144_270_000_000
    by_hand: ClassVar = (
        "register at image-net.org, get the ILSVRC 2012 archives, and unpack them as "
        "imagenet/train/nXXXXXXXX/ and imagenet/val/nXXXXXXXX/"
    )

"""Describable Textures: 47 kinds of texture."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.on_disk import Counts, Download, Layout, OnDisk
from fplbench.data.splits import (
    OFFICIAL,
    ZHOU,
    Contents,
    Entry,
    class_folders,
    from_entries,
    listed,
    numbered,
)


def official(folder: Path) -> Contents:
    """Partition 1 of ten, training and validation images together: CLASS/FILE a line."""
    classes = class_folders(folder / "images")
    labels = numbered(classes)

    def entry(line: str) -> Entry:
        return Entry(f"images/{line}", labels[line.partition("/")[0]])

    lists = folder / "labels"
    train, val, test = (listed(lists / f"{part}1.txt", entry) for part in ("train", "val", "test"))
    source = "official, partition 1, train and val"
    return from_entries(folder, classes, train + val, test, OFFICIAL, source)


class Dtd(OnDisk):
    name: ClassVar = "dtd"
    title: ClassVar = "Describable Textures (DTD)"
    summary: ClassVar = "47 textures such as banded, polka-dotted and woven"
    source: ClassVar = (
        "Cimpoi et al., Describing Textures in the Wild, CVPR 2014; "
        "https://www.robots.ox.ac.uk/~vgg/data/dtd/"
    )
    licence: ClassVar = "for research only"
    templates: ClassVar = ("{} texture.",)
    classes: ClassVar = 47
    images: ClassVar = 5_640
    counts: ClassVar = {
        OFFICIAL: Counts(3_760, 1_880, 80, 40),
        ZHOU: Counts(2_820, 1_692, 60, 36),
    }
    zhou: ClassVar = "split_zhou_DescribableTextures.json"
    layouts: ClassVar = (
        Layout("dtd", ("images", "labels"), official, "images"),
        Layout("dtd/dtd", ("images", "labels"), official, "images"),
    )
    size: ClassVar = 625_239_812
    downloads: ClassVar = (
        Download(
            "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
            "md5:fff73e5086ae6bdbea199a49dfb8a4c1",
        ),
    )

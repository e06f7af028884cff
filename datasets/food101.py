"""Food-101: 101 dishes."""

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
    spaced,
)


def official(folder: Path) -> Contents:
    """meta/train.txt and test.txt: CLASS/NUMBER a line."""
    classes = class_folders(folder / "images")
    labels = numbered(classes)

    def entry(line: str) -> Entry:
        return Entry(f"images/{line}.jpg", labels[line.partition("/")[0]])

    train, test = (listed(folder / "meta" / f"{part}.txt", entry) for part in ("train", "test"))
    names = [spaced(name) for name in classes]
    return from_entries(folder, names, train, test, OFFICIAL, "official")


class Food101(OnDisk):
    name: ClassVar = "food101"
    title: ClassVar = "Food-101"
    summary: ClassVar = "101 dishes, photographed by those who ate them"
    source: ClassVar = (
        "Bossard et al., Food-101, ECCV 2014; "
        "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/"
    )
    licence: ClassVar = "images belong to foodspotting.com; scientific fair use only"
    templates: ClassVar = ("a photo of {}, a type of food.",)
    classes: ClassVar = 101
    images: ClassVar = 101_000
    counts: ClassVar = {
        OFFICIAL: Counts(75_750, 25_250, 750, 250),
        ZHOU: Counts(50_500, 30_300, 500, 300),
    }
    zhou: ClassVar = "split_zhou_Food101.json"
    layouts: ClassVar = (Layout("food-101", ("images", "meta"), official, "images"),)
    size: ClassVar = 4_996_278_331
    downloads: ClassVar = (
        Download(
            "https://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
            "md5:85eeb15f3717b99a5da872d97d918f87",
        ),
    )

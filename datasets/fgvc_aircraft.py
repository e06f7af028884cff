"""FGVC-Aircraft: 100 variants of aircraft."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.on_disk import Counts, Download, Layout, OnDisk
from fplbench.data.splits import (
    OFFICIAL,
    Contents,
    Entry,
    from_entries,
    listed,
    numbered,
    text_lines,
)


def official(folder: Path) -> Contents:
    """images_variant_train.txt and _test.txt: IMAGE VARIANT a line. The validation images are
    left aside, as CoOp does."""
    classes = text_lines(folder / "variants.txt")
    labels = numbered(classes)

    def entry(line: str) -> Entry:
        image, _, name = line.partition(" ")
        return Entry(f"images/{image}.jpg", labels[name])

    train, test = (
        listed(folder / f"images_variant_{part}.txt", entry) for part in ("train", "test")
    )
    source = "official, train without val"
    return from_entries(folder, classes, train, test, OFFICIAL, source)


class FgvcAircraft(OnDisk):
    name: ClassVar = "fgvc_aircraft"
    title: ClassVar = "FGVC-Aircraft"
    summary: ClassVar = "100 variants of aircraft"
    source: ClassVar = (
        "Maji et al., Fine-Grained Visual Classification of Aircraft, 2013; "
        "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/"
    )
    licence: ClassVar = "for non-commercial research only"
    templates: ClassVar = ("a photo of a {}, a type of aircraft.",)
    classes: ClassVar = 100
    images: ClassVar = 10_000
    counts: ClassVar = {OFFICIAL: Counts(3_334, 3_333)}
    layouts: ClassVar = (
        Layout("fgvc_aircraft", ("images", "variants.txt"), official),
        Layout("fgvc-aircraft-2013b/data", ("images", "variants.txt"), official),
    )
    size: ClassVar = 2_753_340_328
    downloads: ClassVar = (
        Download(
            "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/"
            "fgvc-aircraft-2013b.tar.gz",
            "md5:d4acdd33327262359767eeaa97a4f732",
        ),
    )

"""SUN397: 397 scenes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.on_disk import Counts, Download, Layout, OnDisk
from fplbench.data.splits import (
    OFFICIAL,
    ZHOU,
    Contents,
    Entry,
    from_entries,
    listed,
    numbered,
    pictures,
    seeded,
    text_lines,
)

LISTS = ("Training_01.txt", "Testing_01.txt")
PICTURES = "SUN397"


def words(scene: str) -> str:
    """From "/a/apartment_building/outdoor" to "outdoor apartment building", as CoOp does."""
    steps = scene.strip("/").split("/")[1:]
    return " ".join(reversed(steps)).replace("_", " ")


def of_coop(folder: Path) -> Contents:
    """The pictures are in SUN397/, the lists of Partitions.zip beside it."""
    return read(folder, f"{PICTURES}/", folder)


def of_torchvision(folder: Path) -> Contents:
    """The pictures and perhaps the lists are in the folder itself."""
    return read(folder, "", folder)


def read(folder: Path, below: str, lists: Path) -> Contents:
    """Partition 1 of ten where its lists are there, else all pictures by a seed."""
    classes = text_lines(_first(lists / "ClassName.txt", folder / below / "ClassName.txt"))
    labels, names = numbered(classes), [words(name) for name in classes]
    if not all((lists / name).is_file() for name in LISTS):
        entries = [
            Entry(file, label)
            for scene, label in labels.items()
            if (folder / below / scene.strip("/")).is_dir()
            for file in pictures(folder, below + scene.strip("/"))
        ]
        return seeded(folder, names, entries)

    def entry(line: str) -> Entry:
        return Entry(below + line.strip("/"), labels[line.rpartition("/")[0]])

    train, test = (listed(lists / name, entry) for name in LISTS)
    return from_entries(folder, names, train, test, OFFICIAL, "official, partition 1")


def _first(*paths: Path) -> Path:
    return next((path for path in paths if path.is_file()), paths[0])


class Sun397(OnDisk):
    name: ClassVar = "sun397"
    title: ClassVar = "SUN397"
    summary: ClassVar = "397 scenes, indoors and outdoors"
    source: ClassVar = (
        "Xiao et al., SUN Database, CVPR 2010; https://vision.princeton.edu/projects/2010/SUN/"
    )
    licence: ClassVar = "none stated"
    classes: ClassVar = 397
    images: ClassVar = 108_754
    counts: ClassVar = {
        OFFICIAL: Counts(19_850, 19_850, 50, 50),
        ZHOU: Counts(15_880, 19_850, 40, 50),
    }
    zhou: ClassVar = "split_zhou_SUN397.json"
    layouts: ClassVar = (
        Layout("sun397", (PICTURES,), of_coop, PICTURES),
        Layout("SUN397", ("ClassName.txt",), of_torchvision),
    )
    size: ClassVar = 39_095_590_629
    downloads: ClassVar = (
        Download(
            "https://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz",
            "md5:8ca2778205c41d23104230ba66911c7a",
            into="sun397",
        ),
        Download(
            "https://vision.princeton.edu/projects/2010/SUN/download/Partitions.zip",
            "sha256:e3311ea5f812d4cc6faef194688343d1111f6cd6f70f2c62f393c2b8d6ba1ec9",
            into="sun397",
        ),
    )

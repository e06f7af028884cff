"""Caltech-101 as the literature uses it: without the background class and Faces_easy."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.on_disk import Counts, Download, Layout, OnDisk
from fplbench.data.splits import ZHOU, Contents, class_folders, numbered, seeded, spaced, tree

LEFT_OUT = ("BACKGROUND_Google", "Faces_easy")
# CoOp's corrections.
CORRECTED = {
    "airplanes": "airplane",
    "Faces": "face",
    "Leopards": "leopard",
    "Motorbikes": "motorbike",
}
IMAGES = "101_ObjectCategories"


def classname(raw: str) -> str:
    return CORRECTED.get(raw, spaced(raw))


def by_seed(folder: Path) -> Contents:
    """There is no official split."""
    classes = [name for name in class_folders(folder / IMAGES) if name not in LEFT_OUT]
    entries = tree(folder, IMAGES, numbered(classes))
    return seeded(folder, [classname(name) for name in classes], entries)


class Caltech101(OnDisk):
    name: ClassVar = "caltech101"
    title: ClassVar = "Caltech-101"
    summary: ClassVar = "100 kinds of objects"
    source: ClassVar = (
        "Fei-Fei et al., Learning Generative Visual Models from Few Training Examples, CVPR "
        "Workshop 2004; https://data.caltech.edu/records/mzrjq-6wc02"
    )
    licence: ClassVar = "CC BY 4.0"
    classes: ClassVar = 100
    images: ClassVar = 8_242
    counts: ClassVar = {ZHOU: Counts(4_128, 2_465)}
    zhou: ClassVar = "split_zhou_Caltech101.json"
    layouts: ClassVar = (
        Layout("caltech-101", (IMAGES,), by_seed, IMAGES),
        Layout("caltech101", (IMAGES,), by_seed, IMAGES),
    )
    size: ClassVar = 137_414_764
    downloads: ClassVar = (
        Download(
            "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
            "md5:3138e1922a9193bfa496528edbbc45d0",
            inner=(f"caltech-101/{IMAGES}.tar.gz",),
        ),
    )

    classname = staticmethod(classname)

"""Tiny ImageNet: 200 classes at 64 x 64 pixels; its validation images are the test images."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.on_disk import Counts, Download, Layout, OnDisk
from fplbench.data.splits import (
    OFFICIAL,
    Contents,
    Entry,
    class_folders,
    from_entries,
    numbered,
    pictures,
    text_lines,
    tree,
)
from fplbench.data.wordnet import cleaned_names
from fplbench.errors import UserError

FOLDER = "tiny-imagenet-200"
ANNOTATIONS = "val_annotations.txt"


def official(folder: Path) -> Contents:
    """train/ID/images/*; val/images/* with a list, or val/ID/* where somebody sorted them."""
    ids = class_folders(folder / "train")
    labels = numbered(ids)
    train = [
        Entry(file, label)
        for wordnet_id, label in labels.items()
        for file in pictures(folder, _images(folder, f"train/{wordnet_id}"))
    ]
    if (folder / "val" / ANNOTATIONS).is_file() and (folder / "val" / "images").is_dir():
        test = _listed(folder / "val" / ANNOTATIONS, labels)
    else:
        test = tree(folder, "val", labels)
    return from_entries(folder, names_of(ids, folder), train, test, OFFICIAL, "official, val")


def _images(folder: Path, below: str) -> str:
    return f"{below}/images" if (folder / below / "images").is_dir() else below


def _listed(path: Path, labels: dict[str, int]) -> list[Entry]:
    """FILE, ID and a box a line, with tabs between."""
    rows = [line.split("\t") for line in text_lines(path)]
    try:
        return [Entry(f"val/images/{row[0]}", labels[row[1]]) for row in rows]
    except (IndexError, KeyError) as error:
        raise UserError(
            f"{path} is not Tiny ImageNet's list ({error}): unpack it again."
        ) from error


def names_of(ids: list[str], folder: Path) -> list[str]:
    """CLIP's cleaned names; for ids outside ILSVRC 2012 the first name of words.txt."""
    known = cleaned_names()
    if all(wordnet_id in known for wordnet_id in ids):
        return [known[wordnet_id] for wordnet_id in ids]
    lines = [line.partition("\t") for line in text_lines(folder / "words.txt")]
    words = {wordnet_id: names.split(",")[0].strip() for wordnet_id, _, names in lines}
    lacking = [i for i in ids if i not in known and i not in words]
    if lacking:
        raise UserError(f"{folder / 'words.txt'} has no name of {lacking[0]}: unpack it again.")
    return [known.get(i) or words[i] for i in ids]


class TinyImageNet(OnDisk):
    name: ClassVar = "tiny_imagenet"
    title: ClassVar = "Tiny ImageNet"
    summary: ClassVar = "200 of ImageNet's classes at 64 x 64 pixels"
    source: ClassVar = "Stanford's course CS231n, 2015; http://cs231n.stanford.edu"
    licence: ClassVar = "that of ImageNet: non-commercial research and education"
    classes: ClassVar = 200
    images: ClassVar = 110_000
    counts: ClassVar = {OFFICIAL: Counts(100_000, 10_000, 500, 50)}
    layouts: ClassVar = (Layout(FOLDER, ("train", "val"), official),)
    size: ClassVar = 248_100_043
    downloads: ClassVar = (
        Download(
            "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            "md5:90528d7ca1a48142e341f4ef8d21d0de",
        ),
    )

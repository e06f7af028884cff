"""CIFAR-100: 60,000 pictures of 32 x 32 pixels in a hundred classes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.batches import read_batches
from fplbench.data.on_disk import Counts, Download, Layout, OnDisk
from fplbench.data.splits import OFFICIAL, Contents, train_test_folders


def batches(folder: Path) -> Contents:
    return read_batches(folder, ["train"], "test", "fine_labels", "meta", "fine_label_names")


class Cifar100(OnDisk):
    name: ClassVar = "cifar100"
    title: ClassVar = "CIFAR-100"
    summary: ClassVar = "100 classes of animals, plants and things, 32 x 32 pixels"
    default_scenario: ClassVar = "personal"
    source: ClassVar = (
        "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; "
        "https://www.cs.toronto.edu/~kriz/cifar.html"
    )
    licence: ClassVar = "none stated; the page asks to cite the report"
    classes: ClassVar = 100
    images: ClassVar = 60_000
    counts: ClassVar = {OFFICIAL: Counts(50_000, 10_000, 500, 100)}
    layouts: ClassVar = (
        Layout("cifar-100-python", ("meta", "train", "test"), batches),
        Layout("cifar100", ("train", "test"), train_test_folders),
    )
    size: ClassVar = 169_001_437
    downloads: ClassVar = (
        Download(
            "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
            "md5:eb9058c3a382ffc7106e4002c42a8d85",
        ),
    )

"""CIFAR-10: 60,000 pictures of 32 x 32 pixels in ten classes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.batches import read_batches
from fplbench.data.on_disk import Counts, Download, Layout, OnDisk
from fplbench.data.splits import OFFICIAL, Contents, train_test_folders


def batches(folder: Path) -> Contents:
    train = [f"data_batch_{number}" for number in range(1, 6)]
    return read_batches(folder, train, "test_batch", "labels", "batches.meta", "label_names")


class Cifar10(OnDisk):
    name: ClassVar = "cifar10"
    title: ClassVar = "CIFAR-10"
    summary: ClassVar = "10 classes of animals and vehicles, 32 x 32 pixels"
    default_scenario: ClassVar = "personal"
    source: ClassVar = (
        "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; "
        "https://www.cs.toronto.edu/~kriz/cifar.html"
    )
    licence: ClassVar = "none stated; the page asks to cite the report"
    classes: ClassVar = 10
    images: ClassVar = 60_000
    counts: ClassVar = {OFFICIAL: Counts(50_000, 10_000, 5_000, 1_000)}
    layouts: ClassVar = (
        Layout(
            "cifar-10-batches-py",
            ("batches.meta", *(f"data_batch_{n}" for n in range(1, 6)), "test_batch"),
            batches,
        ),
        Layout("cifar10", ("train", "test"), train_test_folders),
    )
    size: ClassVar = 170_498_071
    downloads: ClassVar = (
        Download(
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "md5:c58f30108f718f92721af3b95e74349a",
        ),
    )

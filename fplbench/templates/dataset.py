"""Mine: pictures of ROOT/mine/train/CLASS/* and ROOT/mine/test/CLASS/*."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fplbench.data.on_disk import Layout, OnDisk
from fplbench.data.splits import Contents, train_test_folders


def read(folder: Path) -> Contents:
    """The classes' names, and the files with their labels."""
    return train_test_folders(folder)


class Mine(OnDisk):
    name = "mine"
    title = "Mine"
    summary = "what it is, in a few words"
    source = "Authors, Title, Venue Year; where it is from"
    licence = "its licence"
    templates = ("a photo of a {}.",)
    classes, images = 0, 0  # as published, for `fplbench data verify`; 0: not known
    layouts: ClassVar = (Layout("mine", ("train", "test"), read),)
    by_hand = "put it into ROOT/mine; how to get it"

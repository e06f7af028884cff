"""Any tree of pictures: folder:PATH has a folder a class, folder_domains:PATH domains above."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from fplbench.data.on_disk import fingerprint
from fplbench.data.splits import (
    OURS,
    SEEDED,
    Contents,
    Entry,
    class_folders,
    cut,
    from_entries,
    numbered,
    seeded,
    spaced,
    train_test_folders,
    tree,
)
from fplbench.dataset import Data, Dataset
from fplbench.errors import UserError

TESTS = ("test", "val")


class Folder(Dataset):
    """PATH/train/CLASS/* and PATH/test/CLASS/*, or PATH/CLASS/* with a seeded split."""

    name: ClassVar[str] = "folder"
    title: ClassVar[str] = "your own pictures"
    summary: ClassVar[str] = "your own pictures: PATH/train/CLASS/*, PATH/test/CLASS/*; or CLASS/*"
    default_scenario: ClassVar[str] = "personal"
    wants: ClassVar[str] = "PATH"

    def missing(self, root: Path | None) -> str | None:
        path = Path(self.argument).expanduser()
        return None if path.is_dir() else f"{self.name}: there is no folder {path}."

    def load(self, root: Path | None, cache: Path) -> Data:
        contents = self.read(Path(self.argument).expanduser())
        return Data(
            classnames=contents.classnames,
            train=contents.train,
            test=contents.test,
            templates=("a photo of a {}.",),
            fingerprint=fingerprint(contents),
            split_source=contents.split_source,
            domains=contents.domains,
        )

    def read(self, folder: Path) -> Contents:
        test = test_folder(folder)
        contents = train_test_folders(folder, test=test) if test else by_seed(folder)
        held = np.union1d(contents.train.labels, contents.test.labels)
        empty = [name for label, name in enumerate(contents.classnames) if label not in held]
        if empty:
            raise UserError(
                f"{folder}: no pictures of {', '.join(empty)}: remove the empty folders."
            )
        return contents


class FolderDomains(Folder):
    """PATH/DOMAIN/CLASS/*, or PATH/DOMAIN/train/CLASS/* and PATH/DOMAIN/test/CLASS/*."""

    name: ClassVar[str] = "folder_domains"
    summary: ClassVar[str] = "the same with domains above the classes: PATH/DOMAIN/CLASS/*"
    default_scenario: ClassVar[str] = "domains"

    def read(self, folder: Path) -> Contents:
        domains = class_folders(folder)
        if not domains:
            raise UserError(f"{folder} has no folders: the domains are PATH/DOMAIN/CLASS/.")
        classes = sorted(
            {
                name
                for d in domains
                for part in class_parents(folder / d)
                for name in class_folders(part)
            }
        )
        labels = numbered(classes)
        train: list[Entry] = []
        test: list[Entry] = []
        sources = set()
        for index, domain in enumerate(domains):
            of_test = test_folder(folder / domain)
            if of_test:
                train += tree(folder, f"{domain}/train", labels, index)
                test += tree(folder, f"{domain}/{of_test}", labels, index)
                sources.add(f"the folders train and {of_test}")
            else:
                own = cut(tree(folder, domain, labels, index))
                train += own[0]
                test += own[1]
                sources.add(SEEDED)
        names = [spaced(name) for name in classes]
        source = "; ".join(sorted(sources))
        return from_entries(folder, names, train, test, OURS, source, domains)


def by_seed(folder: Path) -> Contents:
    """PATH/CLASS/*."""
    classes = class_folders(folder)
    if len(classes) < 2 or "train" in classes:
        raise UserError(
            f"{folder} holds {_told(classes)}: give it a folder of pictures for each of two or "
            "more classes, or train and test with such folders in each."
        )
    return seeded(folder, [spaced(c) for c in classes], tree(folder, "", numbered(classes)))


def _told(folders: Sequence[str]) -> str:
    """A few of the folders' names."""
    if not folders:
        return "no folders"
    more = ", ..." if len(folders) > 5 else ""
    return f"only the folder{'s' if len(folders) > 1 else ''} {', '.join(folders[:5])}{more}"


def test_folder(folder: Path) -> str:
    """The folder of test pictures beside `train`; "" where the tree is not split."""
    if not (folder / "train").is_dir():
        return ""
    return next((name for name in TESTS if (folder / name).is_dir()), "")


def class_parents(folder: Path) -> list[Path]:
    """The folders that hold the classes of one domain."""
    test = test_folder(folder)
    return [folder / "train", folder / test] if test else [folder]

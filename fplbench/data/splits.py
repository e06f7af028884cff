"""Which files are training and which test images: from lists, from folders, or cut by a seed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fplbench.data.images import ImageFiles
from fplbench.dataset import Split
from fplbench.errors import UserError
from fplbench.rng import numpy_generator

SPLIT_SEED = 0
TEST_SHARE = 0.3

OFFICIAL, ZHOU, OURS = "official", "Zhou et al.", "ours"
SEEDED = f"fplbench: {TEST_SHARE:.0%} of each class for testing, seed {SPLIT_SEED}"

# Beside pictures, folders hold these; anything else that is no picture is named as unusable.
NO_PICTURES = (".txt", ".json", ".csv", ".md", ".html", ".xml", ".mat", ".db", ".ini", ".py")


class Entry(NamedTuple):
    """One picture. file: path relative to the folder of the data set, with slashes."""

    file: str
    label: int
    domain: int = 0


@dataclass(frozen=True)
class Contents:
    """What a reader found on disk.

    kind: whose split it is: OFFICIAL, ZHOU or OURS. split_source: the same for the record.
    """

    classnames: tuple[str, ...]
    train: Split
    test: Split
    kind: str
    split_source: str
    domains: tuple[str, ...] = ()


def from_entries(
    folder: Path,
    classnames: Sequence[str],
    train: Sequence[Entry],
    test: Sequence[Entry],
    kind: str,
    split_source: str,
    domains: Sequence[str] = (),
) -> Contents:
    """Contents whose pictures are files below `folder`."""
    for what, entries in (("training", train), ("test", test)):
        if not entries:
            raise UserError(f"{folder} has no {what} images ({split_source}).")

    def split(entries: Sequence[Entry]) -> Split:
        return Split(
            ImageFiles(folder, [entry.file for entry in entries]),
            np.array([entry.label for entry in entries], dtype=np.int64),
            np.array([entry.domain for entry in entries], dtype=np.int64) if domains else None,
        )

    return Contents(
        tuple(classnames), split(train), split(test), kind, split_source, tuple(domains)
    )


def seeded(
    folder: Path, classnames: Sequence[str], entries: Sequence[Entry], domains: Sequence[str] = ()
) -> Contents:
    """Our own split where nobody made one: 30 % of each class and domain are test images."""
    train, test = cut(entries)
    return from_entries(folder, classnames, train, test, OURS, SEEDED, domains)


def cut(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Training and test entries, class by class and domain by domain; one of each at least where
    there are two. What is drawn depends on the file names alone, not on the order of `entries`."""
    groups: dict[tuple[int, int], list[Entry]] = {}
    for entry in sorted(entries):
        groups.setdefault((entry.domain, entry.label), []).append(entry)
    train: list[Entry] = []
    test: list[Entry] = []
    for (domain, label), group in sorted(groups.items()):
        order = numpy_generator(SPLIT_SEED, "files", domain, label).permutation(len(group))
        count = max(1, round(TEST_SHARE * len(group))) if len(group) > 1 else 0
        test += [group[row] for row in sorted(order[:count])]
        train += [group[row] for row in sorted(order[count:])]
    return train, test


def text_lines(path: Path) -> list[str]:
    """The lines of a list that came with the data, without empty ones."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}): unpack the data set again.") from error
    return [line.strip() for line in lines if line.strip()]


def listed(path: Path, entry: Callable[[str], Entry]) -> list[Entry]:
    """The pictures of a list that came with the data, one a line, as `entry` reads it; its
    KeyError, ValueError or IndexError becomes a UserError that names the line."""
    entries = []
    for line in text_lines(path):
        try:
            entries.append(entry(line))
        except (KeyError, ValueError, IndexError) as error:
            raise UserError(
                f"{path} has the line {line!r}, which names no picture of a known class: "
                "unpack the data set again."
            ) from error
    return entries


def class_folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted as the literature does: by code point."""
    try:
        found = [path.name for path in folder.iterdir() if path.is_dir()]
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}).") from error
    return sorted(name for name in found if not name.startswith((".", "__")))


def pictures(folder: Path, below: str, deep: bool = False) -> list[str]:
    """The files of folder/below, relative to `folder`, sorted; hidden files and lists left out.

    deep: also those of folders in it.
    """
    found = []
    for entry in os.scandir(folder / below):
        name = f"{below}/{entry.name}"
        if entry.name.startswith(".") or entry.name == "Thumbs.db":
            continue
        if entry.is_dir():
            found += pictures(folder, name, deep) if deep else []
        elif not entry.name.lower().endswith(NO_PICTURES):
            found.append(name)
    return sorted(found)


def tree(folder: Path, below: str, labels: dict[str, int], domain: int = 0) -> list[Entry]:
    """Entries of folder/below/CLASS/**, for the classes in `labels`."""
    prefix = "" if below in ("", ".") else f"{below}/"
    return [
        Entry(file, label, domain)
        for name, label in labels.items()
        if (folder / f"{prefix}{name}").is_dir()
        for file in pictures(folder, f"{prefix}{name}", deep=True)
    ]


def numbered(names: Sequence[str]) -> dict[str, int]:
    """Class folder -> label."""
    return {name: label for label, name in enumerate(names)}


def spaced(name: str) -> str:
    """A folder's name as words."""
    return " ".join(name.replace("_", " ").split())


def train_test_folders(
    folder: Path, name: Callable[[str], str] = spaced, test: str = "test"
) -> Contents:
    """train/CLASS/* and test/CLASS/*. name: from a class's folder to its name."""
    classes = class_folders(folder / "train")
    _no_strangers(folder / test, class_folders(folder / test), classes)
    labels = numbered(classes)
    return from_entries(
        folder,
        [name(each) for each in classes],
        tree(folder, "train", labels),
        tree(folder, test, labels),
        OFFICIAL,
        f"the folders train and {test}",
    )


def _no_strangers(folder: Path, found: Sequence[str], classes: Sequence[str]) -> None:
    strangers = [name for name in found if name not in classes]
    if strangers:
        raise UserError(
            f"{folder} has classes that the training images lack ({', '.join(strangers[:5])}): "
            "give them training images or remove the folders."
        )


def zhou_split(path: Path, folder: Path, images: str, name: Callable[[str], str]) -> Contents:
    """A split_zhou_*.json of CoOp: lists of [file, label, class name] under train, val and test.

    images: where in `folder` its files lie. Its val images are left aside, as in CoOp's training.
    name: from a class name in the file to the one that is used.
    """
    try:
        split = json.loads(path.read_text(encoding="utf-8"))
        names: dict[int, str] = {}
        parts: dict[str, list[Entry]] = {"train": [], "test": []}
        prefix = "" if images in ("", ".") else f"{images}/"
        for part in parts:
            for file, label, classname in split[part]:
                names.setdefault(int(label), name(str(classname)))
                parts[part].append(Entry(_inside(prefix + str(file)), int(label)))
        classnames = [names[label] for label in range(len(names))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"{path} is no split of CoOp's form ({problem}): get it again or move it away."
        ) from error
    return from_entries(folder, classnames, parts["train"], parts["test"], ZHOU, path.name)


def _inside(file: str) -> str:
    if file.startswith("/") or ".." in Path(file).parts:
        raise ValueError(f"{file!r} leads out of the data set")
    return file

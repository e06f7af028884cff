"""Which files are training and which test images: from lists, from folders, or cut by a seed."""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

import numpy as np

from fplbench.data.images import ImageFiles
from fplbench.data.names import alike, composed, groups, require_different, require_text
from fplbench.data.names import spaced as spaced
from fplbench.dataset import Split
from fplbench.errors import UserError
from fplbench.records.litter import is_litter, leads_up
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
    for entry in sorted(entries, key=lambda entry: (composed(entry.file), entry.label)):
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
        lines = decoded(path.read_bytes()).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}): unpack the data set again.") from error
    return [line.strip() for line in lines if line.strip()]


def decoded(content: bytes) -> str:
    """UTF-8, with or without a mark before it, or UTF-16 with the mark that Windows puts there."""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig")


def listed(path: Path, entry: Callable[[str], Entry]) -> list[Entry]:
    """The pictures of a list that came with the data, one a line, as `entry` reads it; its
    KeyError, ValueError or IndexError becomes a UserError that names the line."""
    entries = []
    for line in text_lines(path):
        try:
            entries.append(entry(line.replace("\\", "/")))
        except (KeyError, ValueError, IndexError) as error:
            raise UserError(
                f"{path} has the line {line!r}, which names no picture of a known class: "
                "unpack the data set again."
            ) from error
    return entries


def class_folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted as the literature does: by code point. Not
    those of systems, and no link to a folder above."""
    try:
        with os.scandir(folder) as found:
            names = [each.name for each in found if not is_litter(each.name) and _is_folder(each)]
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}).") from error
    return sorted((name for name in names if not leads_up(folder / name)), key=composed)


def pictures(folder: Path, below: str, deep: bool = False) -> list[str]:
    """The files of folder/below, relative to `folder`, sorted; those of systems and lists left
    out.

    deep: also those of folders in it; each folder once, by whatever links it is reached.
    """
    found: list[str] = []
    entered = set[str]()

    def look(below: str) -> None:
        try:
            with os.scandir(folder / below) as here:
                entries = [each for each in here if not is_litter(each.name)]
        except OSError as error:
            raise UserError(f"{folder / below} cannot be read ({error.strerror}).") from error
        entered.add(os.path.realpath(folder / below))
        inside: list[str] = []
        links: list[str] = []
        for each in entries:
            name = f"{below}/{each.name}" if below else each.name
            if each.is_symlink() and leads_up(each.path):
                continue
            if _is_folder(each):
                (links if each.is_symlink() else inside).append(name)
            elif not each.name.lower().endswith(NO_PICTURES):
                found.append(name)
        for name in (*sorted(inside), *sorted(links)) if deep else ():
            if os.path.realpath(folder / name) not in entered:
                look(name)

    look(below)
    return sorted(found, key=composed)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


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


@dataclass(frozen=True)
class Classes:
    """Folders of classes in several places, those that read alike taken as one.

    names: a folder's name for each class, as it is spelt in the first place that has it; labels:
    for each place the labels of its own folders; spellings: all names of a class, by `alike`.
    """

    names: list[str]
    labels: dict[str, dict[str, int]]
    spellings: dict[str, list[str]]


def classes_of(folder: Path, places: Sequence[str]) -> Classes:
    """The classes of folder/PLACE/*. UserError: two of one place read alike or are one folder, or
    a name is no text."""
    found = {place: class_folders(folder / place) for place in places}
    for place, names in found.items():
        require_text(folder / place, names)
        require_different(folder / place, names)
        _require_apart(folder / place, names)
    spellings = groups(name for names in found.values() for name in names)
    chosen = sorted((same[0] for same in spellings.values()), key=composed)
    label = {alike(name): number for number, name in enumerate(chosen)}
    labels = {p: {name: label[alike(name)] for name in names} for p, names in found.items()}
    return Classes(chosen, labels, spellings)


def _require_apart(folder: Path, names: Sequence[str]) -> None:
    by_place: dict[str, str] = {}
    for name in names:
        other = by_place.setdefault(os.path.realpath(folder / name), name)
        if other != name:
            raise UserError(
                f"{folder / other} and {folder / name} are one folder, by a link: the same "
                "pictures cannot be two classes, so remove the link."
            )


def train_test_folders(
    folder: Path, name: Callable[[str], str] = spaced, test: str = "test"
) -> Contents:
    """train/CLASS/* and test/CLASS/*. name: from a class's folder to its name."""
    found = classes_of(folder, ["train", test])
    _no_strangers(folder / test, found.labels[test], found.labels["train"])
    return from_entries(
        folder,
        [name(each) for each in found.names],
        tree(folder, "train", found.labels["train"]),
        tree(folder, test, found.labels[test]),
        OFFICIAL,
        f"the folders train and {test}",
    )


def _no_strangers(folder: Path, found: Mapping[str, int], known: Mapping[str, int]) -> None:
    strangers = [name for name, label in found.items() if label not in known.values()]
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
        # From bytes: JSON's own reader knows the marks that Windows puts before UTF-8 and UTF-16.
        split = json.loads(path.read_bytes())
        names: dict[int, str] = {}
        parts: dict[str, list[Entry]] = {"train": [], "test": []}
        prefix = "" if images in ("", ".") else f"{images}/"
        for part in parts:
            for file, label, classname in split[part]:
                number = _label(label)
                if names.setdefault(number, str(classname)) != str(classname):
                    raise ValueError(f"label {number} is {names[number]!r} and {classname!r}")
                parts[part].append(Entry(prefix + _inside(str(file).replace("\\", "/")), number))
        first = min(names, default=0)
        if first not in (0, 1) or set(names) != set(range(first, first + len(names))):
            raise ValueError(f"its labels are not all numbers from 0, or from 1, to {max(names)}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"{path} is no split of CoOp's form ({problem}): get it again or move it away."
        ) from error
    classnames = [name(names[label]) for label in sorted(names)]
    train, test = (
        [entry._replace(label=entry.label - first) for entry in parts[part]] for part in parts
    )
    return from_entries(folder, classnames, train, test, ZHOU, path.name)


def _label(value: object) -> int:
    """A class's number, of whatever type; ValueError if it is none."""
    number = int(str(value)) if isinstance(value, str) else int(value)  # type: ignore[call-overload]
    if isinstance(value, bool) or (isinstance(value, float) and value != number):
        raise ValueError(f"{value!r} is no label")
    return int(number)


def _inside(file: str) -> str:
    if file.startswith("/") or PureWindowsPath(file).drive or ".." in Path(file).parts:
        raise ValueError(f"{file!r} leads out of the data set")
    return file

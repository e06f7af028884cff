"""Any tree of pictures: folder:PATH has a folder a class, folder_domains:PATH domains above."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from fplbench.data.levels import PATTERN, TRAIN, Levels, as_written, understood
from fplbench.data.names import alike, composed, is_text, readable, respelt, spaced
from fplbench.data.on_disk import fingerprint
from fplbench.data.splits import (
    OFFICIAL,
    OURS,
    SEEDED,
    Contents,
    Entry,
    classes_of,
    cut,
    from_entries,
    tree,
)
from fplbench.dataset import Data, Dataset
from fplbench.errors import UserError
from fplbench.machine.paths import plain


class Folder(Dataset):
    """PATH/train/CLASS/* and PATH/test/CLASS/*, or PATH/CLASS/* with a seeded split."""

    name: ClassVar[str] = "folder"
    title: ClassVar[str] = "your own pictures"
    summary: ClassVar[str] = "your own pictures: PATH/train/CLASS/*, PATH/test/CLASS/*; or CLASS/*"
    default_scenario: ClassVar[str] = "personal"
    wants: ClassVar[str] = "PATH"
    has_domains: ClassVar[bool] = False

    @classmethod
    def parse(cls, argument: str) -> type[Self] | None:
        """One name for one folder, however its path is written."""
        if not argument:
            return super().parse(argument)
        path, levels = _path_and_levels(argument)
        return super().parse("/".join([plain(path), *levels]))

    def missing(self, root: Path | None) -> str | None:
        path, _ = _path_and_levels(self.argument)
        if not is_text(path):
            return (
                f"{self.name.partition(':')[0]}: the path {readable(path)} is not UTF-8, and it "
                "is to stand in records and tables: rename it, or give a link to it."
            )
        found = os.path.isdir(os.path.expanduser(path))
        return None if found else f"{self.name}: there is no folder {path}."

    def load(self, root: Path | None, cache: Path) -> Data:
        path, levels = _path_and_levels(self.argument)
        folder = Path(os.path.expanduser(path))
        if levels:
            found = as_written(folder, self.name, self.has_domains, levels)
        else:
            found = understood(folder, self.name, self.has_domains)
        contents, notes = read(folder, found, self.has_domains)
        return Data(
            classnames=contents.classnames,
            train=contents.train,
            test=contents.test,
            templates=("a photo of a {}.",),
            fingerprint=fingerprint(contents),
            split_source=contents.split_source,
            domains=contents.domains,
            notes=tuple(notes),
        )


class FolderDomains(Folder):
    """PATH/DOMAIN/CLASS/*, or PATH/DOMAIN/train/CLASS/* and PATH/DOMAIN/test/CLASS/*."""

    name: ClassVar[str] = "folder_domains"
    summary: ClassVar[str] = "the same with domains above the classes: PATH/DOMAIN/CLASS/*"
    default_scenario: ClassVar[str] = "domains"
    has_domains: ClassVar[bool] = True


def read(folder: Path, levels: Levels, with_domains: bool) -> tuple[Contents, list[str]]:
    """The pictures of these places, and what is to be said of them."""
    classes = classes_of(folder, [place.below for place in levels.places])
    if len(classes.names) < 2:
        only = f"only the class {classes.names[0]}" if classes.names else "no classes"
        raise UserError(
            f"{folder} holds {only}: give it a folder of pictures for each of two or more classes, "
            "or train and test with such folders in each."
        )
    domains = _domains(levels)
    train: list[Entry] = []
    test: list[Entry] = []
    sources = dict.fromkeys(levels.sources)
    for place in levels.places:
        domain = list(domains).index(alike(place.domain)) if with_domains else 0
        entries = tree(folder, place.below, classes.labels[place.below], domain)
        if place.split:
            (train if place.split == TRAIN else test).extend(entries)
        else:
            own = cut(entries)
            train += own[0]
            test += own[1]
            sources[SEEDED] = None
    names = [spaced(name) for name in classes.names]
    _check_classes(folder, names, train, test)
    kind = OURS if with_domains or SEEDED in sources else OFFICIAL
    contents = from_entries(
        folder, names, train, test, kind, "; ".join(sorted(sources)), list(domains.values())
    )
    notes = [*levels.notes]
    if same := respelt(classes.spellings):
        notes.append(f"names that differ in spelling alone are one class: {', '.join(same)}")
    return contents, [*notes, *_not_everywhere(names, train, test, list(domains.values()))]


def _domains(levels: Levels) -> dict[str, str]:
    """What a domain's name reads like -> its name."""
    found: dict[str, str] = {}
    beside: dict[tuple[str, str], str] = {}
    for place in sorted(levels.places, key=lambda place: composed(place.domain)):
        if place.domain:
            found.setdefault(alike(place.domain), composed(place.domain))
            other = beside.setdefault((alike(place.domain), place.split), place.domain)
            if other != place.domain:
                raise UserError(
                    f"the domains {other!r} and {place.domain!r} have one name to a reader: put "
                    "their folders together, or rename one."
                )
    return found


def _check_classes(folder: Path, names: list[str], train: list[Entry], test: list[Entry]) -> None:
    trained = {entry.label for entry in train}
    tested = {entry.label for entry in test}
    empty = [n for label, n in enumerate(names) if label not in trained | tested]
    if empty:
        raise UserError(f"{folder}: no pictures of {', '.join(empty)}: remove the empty folders.")
    untaught = [n for label, n in enumerate(names) if label not in trained]
    if untaught and trained:
        raise UserError(
            f"{folder} has classes that the training images lack ({', '.join(untaught[:5])}): "
            "give them training images or remove the folders."
        )


def _not_everywhere(
    names: list[str], train: list[Entry], test: list[Entry], domains: list[str]
) -> list[str]:
    """Classes that a reader would expect in the test images, or in a domain, and are not there."""
    notes = []
    tested = {entry.label for entry in test}
    untested = [name for label, name in enumerate(names) if label not in tested]
    if untested:
        notes.append(f"no test images of {', '.join(untested[:5])}{_more(untested)}")
    for index, domain in enumerate(domains):
        held = np.unique([e.label for e in (*train, *test) if e.domain == index])
        lacking = [name for label, name in enumerate(names) if label not in held]
        if lacking:
            notes.append(f"the domain {domain} has no {', '.join(lacking[:5])}{_more(lacking)}")
    return notes


def _more(names: list[str]) -> str:
    return f" and {len(names) - 5} more classes" if len(names) > 5 else ""


def _path_and_levels(argument: str) -> tuple[str, list[str]]:
    """From "d/{domain}/images/{class}" to "d" and the rest, step by step."""
    steps = argument.split("/")
    first = next((n for n, step in enumerate(steps) if PATTERN.search(step)), len(steps))
    if first == len(steps):
        return argument, []
    path = "/".join(steps[:first]) or "/" if first else "."
    return path, [step for step in steps[first:] if step]

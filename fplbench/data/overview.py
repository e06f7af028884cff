"""What `fplbench data list` shows, and how data sets are chosen by name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from fplbench.data.names import composed
from fplbench.data.on_disk import OnDisk, data_root
from fplbench.data.reading import missing_of
from fplbench.dataset import Dataset
from fplbench.errors import UserError
from fplbench.plugins import registry

LONGEST = 100  # letters of a file's name before its hash


def there(names: Sequence[str], plugins: Sequence[Path], root: Path | None) -> list[type[Dataset]]:
    """The data sets of these names, `all` for those that are there; UserError names the others."""
    found = registry.datasets(plugins)
    if list(names) == ["all"]:
        every = [cls for cls in found.classes.values() if not cls.wants]
        return [cls for cls in every if missing_of(cls, root) is None]
    if "all" in names:
        raise UserError("`all` stands for every data set that is here: give it alone.")
    classes = [found.get(name) for name in names]
    absent = [reason for cls in classes if (reason := missing_of(cls, root)) is not None]
    if absent:
        raise UserError("\n".join(absent))
    return classes


def the_one(name: str, plugins: Sequence[Path], root: Path | None) -> type[Dataset]:
    """The data set of this name, for a command that takes one."""
    if name == "all":
        raise UserError("This is drawn of one data set: name it in place of `all`.")
    return there([name], plugins, root)[0]


def to_download(names: Sequence[str], plugins: Sequence[Path]) -> list[type[OnDisk]]:
    """The data sets of these names that lie on disk; UserError for any other."""
    found = registry.datasets(plugins)
    classes = []
    for name in names:
        cls = found.get(name)
        if not issubclass(cls, OnDisk):
            whose = "is your own folder" if cls.wants else "comes with fplbench or its plug-in"
            raise UserError(f"There is nothing to download for {name}: it {whose}.")
        if not cls.downloads:
            raise UserError(f"No program may download {name}: {cls.by_hand}.")
        classes.append(cls)
    return classes


def as_file(name: str) -> str:
    """A name that may hold a path as the beginning of a file's name; two names, two files."""
    word = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-")
    if word == name.replace(":", "-", 1) and len(word) <= LONGEST:
        return word
    digest = hashlib.sha256(composed(name).encode("utf-8", "surrogateescape")).hexdigest()[:7]
    return f"{word[:LONGEST]}-{digest}"


def overview(plugins: Sequence[Path], root: Path | None) -> RenderableType:
    """A line for each data set, then how to get those that are not there."""
    found = registry.datasets(plugins)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("name", "here", "images", "classes", "download", "where"):
        right = column in ("images", "classes", "download")
        table.add_column(
            column, justify="right" if right else "left", no_wrap=column != "where", overflow="fold"
        )
    hints = []
    for name, cls in found.classes.items():
        shown = f"{name}:{cls.wants}" if cls.wants else name
        if not issubclass(cls, OnDisk):
            here = "" if cls.wants else "yes"
            if not cls.wants and missing_of(cls, root) is not None:
                here = "no"
            table.add_row(*map(Text, (shown, here, "", "", "", cls.summary)))
            continue
        place = cls.find(root)
        where = str(place[1]) if place else f"looked for {cls().looked_for(root)}"
        known = (f"{count:,}" if count else "" for count in (cls.images, cls.classes))
        numbers = (*known, decimal(cls.size) if cls.size else "")
        table.add_row(*map(Text, (shown, "yes" if place else "no", *numbers, where)))
        if place is None:
            hints.append(cls)
    return Group(Text(f"Data root: {data_root(root)}"), table, *_hints(hints))


def _hints(absent: Sequence[type[OnDisk]]) -> Iterator[Text]:
    ours = [cls.name for cls in absent if cls.downloads]
    if ours:
        yield Text(f"\nfplbench data download NAME gets: {', '.join(ours)}")
    for cls in absent:
        if not cls.downloads:
            yield Text(f"{cls.name}: {cls.by_hand}")

"""The facts of the data sets as docs/datasets.md states them; the page is checked against these.

`python tests/support/facts.py` prints them, to be pasted into the page.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.filesize import decimal

from fplbench.data.on_disk import OnDisk
from fplbench.data.splits import OFFICIAL, ZHOU
from fplbench.plugins import registry


def on_disk() -> list[type[OnDisk]]:
    classes = registry.datasets().classes.values()
    return [cls for cls in classes if issubclass(cls, OnDisk)]


def row(cls: type[OnDisk]) -> str:
    """A line of the table."""
    numbers = f"{cls.images:,}" if cls.images else "not published"
    template = ", ".join(f"`{each}`" for each in cls.templates)
    parts = (f"`{cls.name}`", f"{cls.classes:,}", numbers, splits(cls), template)
    return f"| {' | '.join((*parts, f'`{registry.usual(cls, registry.scenarios())}`'))} |"


def splits(cls: type[OnDisk]) -> str:
    """Training + test images of each kind of split."""
    found = []
    for kind, words in ((OFFICIAL, "official"), (ZHOU, "Zhou")):
        counts = cls.counts.get(kind)
        if counts is not None:
            train = "ImageNet's" if counts.train is None else f"{counts.train:,}"
            found.append(f"{words} {train} + {counts.test:,}")
    if OFFICIAL not in cls.counts:
        found.append(
            "as it lies there, else ours" if cls.domain_images or not cls.images else "ours"
        )
    return "; ".join(found)


def entry(cls: type[OnDisk]) -> str:
    """An item of the list of sources."""
    folders = ", ".join(dict.fromkeys(f"`{layout.folder}`" for layout in cls.layouts))
    how = "`fplbench data download`" if cls.downloads else cls.by_hand
    amount = f", {decimal(cls.size)}" if cls.size else ""
    beside = f" `{cls.zhou}` beside it is used." if cls.zhou else ""
    return (
        f"- **{cls.name}** ({cls.title}{amount}). {cls.source}. Licence: {cls.licence}. "
        f"Looked for in {folders}.{beside} To get it: {how}."
    )


def lines() -> Iterator[str]:
    for cls in on_disk():
        yield row(cls)
    for cls in on_disk():
        yield entry(cls)


if __name__ == "__main__":
    print("\n".join(lines()))

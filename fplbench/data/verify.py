"""Whether a data set is whole: every image opens, the numbers are the published ones, and no
image is in both splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fplbench.data.images import Finding, ImageFiles
from fplbench.data.names import readable, twins
from fplbench.data.on_disk import Counts, OnDisk
from fplbench.data.prepare import cache_of, checked
from fplbench.data.progress import Progress
from fplbench.data.reading import loaded
from fplbench.data.splits import OURS
from fplbench.data.understood import examples, named
from fplbench.dataset import Data, Dataset, IntArray, Split

SHOWN = 10


@dataclass
class Report:
    """What was found. each: images of each class, by split; domains: by domain, both splits.

    twice: pairs of a training and a test image with the same contents. again: by split, pairs of
    an image and a later one with the same contents, and whether both are of one class. examples:
    images with their classes. notes: what a reader of the numbers should know.
    """

    name: str
    title: str
    where: str
    split_source: str
    classnames: tuple[str, ...]
    each: dict[str, IntArray]
    domains: dict[str, int] = field(default_factory=dict)
    unusable: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    twice: list[tuple[str, str]] = field(default_factory=list)
    again: dict[str, list[tuple[str, str, bool]]] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    published: bool = False

    @property
    def sound(self) -> bool:
        """Nothing unusable, and the published numbers where there are any."""
        return not self.unusable and not self.differences


def verify(
    cls: type[Dataset], root: Path | None, store: Path, progress: Progress | None = None
) -> Report:
    """Read all of a data set that is there, also what was examined before."""
    cache = cache_of(cls.name, store)
    data = loaded(cls, root, cache)
    place = cls.find(root) if issubclass(cls, OnDisk) else None
    splits = {"training": data.train, "test": data.test}
    count = len(data.classnames)
    report = Report(
        name=cls.name,
        title=getattr(cls, "title", cls.summary),
        where=str(place[1]) if place else cls.argument or "embedded",
        split_source=data.split_source,
        classnames=data.classnames,
        each={what: np.bincount(split.labels, minlength=count) for what, split in splits.items()},
        examples=examples(data),
        # Those of a published data set are its differences, which are listed below.
        notes=[*(() if issubclass(cls, OnDisk) else data.notes), *twins(data.classnames)],
    )
    if data.train.domains is not None and data.test.domains is not None:
        both = np.concatenate([data.train.domains, data.test.domains])
        numbers = np.bincount(both, minlength=len(data.domains)).tolist()
        report.domains = dict(zip(data.domains, numbers, strict=True))
    named = {what: _named(split, cache, progress) for what, split in splits.items()}
    for found in named.values():
        report.unusable += [readable(f"{name} {f.fault}") for name, f in found if f.fault]
        report.odd += [readable(f"{name}: {f.odd}") for name, f in found if f.odd]
    seen: dict[bytes, str] = {}
    for name, f in named["training"]:
        if not f.fault:
            seen.setdefault(f.digest, name)
    report.twice = [
        (seen[f.digest], name) for name, f in named["test"] if not f.fault and f.digest in seen
    ]
    for what, split in splits.items():
        report.again[what] = _again(named[what], split.labels)
    if issubclass(cls, OnDisk):
        _compare(report, cls, data)
    return report


def _again(images: list[tuple[str, Finding]], labels: IntArray) -> list[tuple[str, str, bool]]:
    """Each image of a split whose contents stood there before: the first of them, itself, whether
    both are of one class."""
    first: dict[bytes, tuple[str, int]] = {}
    found = []
    for (name, finding), label in zip(images, labels.tolist(), strict=True):
        if finding.fault:
            continue
        before, of = first.setdefault(finding.digest, (name, label))
        if before != name:
            found.append((before, name, of == label))
    return found


def _named(split: Split, cache: Path, progress: Progress | None) -> list[tuple[str, Finding]]:
    """Each image's name and what it is; images in memory are whole, and are numbered."""
    if isinstance(split.images, ImageFiles):
        findings = checked(split.images, cache, progress, again=True)
        return list(zip(split.images.names, findings, strict=True))
    contents = (hashlib.sha256(image.tobytes()).digest()[:16] for image in split.images)
    return [(f"image {row}", Finding("", "", digest)) for row, digest in enumerate(contents)]


def _compare(report: Report, cls: type[OnDisk], data: Data) -> None:
    """Differences from the published numbers, for the kind of split that was read."""
    train, test = (report.each[what] for what in ("training", "test"))
    if cls.classes and len(data.classnames) != cls.classes:
        report.differences.append(
            f"{len(data.classnames):,} classes, where {cls.classes:,} are published"
        )
    counts = cls.counts.get(data.split_kind)
    if counts is not None:
        report.published = True
        _compare_counts(report, counts)
    elif data.split_kind == OURS and cls.images:
        report.published = True
        found = int(train.sum() + test.sum())
        if found != cls.images:
            report.differences.append(f"{found:,} images, where {cls.images:,} are published")
    if data.split_kind == OURS:
        for domain, wanted in cls.domain_images.items():
            if report.domains.get(domain, 0) != wanted:
                report.differences.append(
                    f"domain {domain}: {report.domains.get(domain, 0):,} images, where "
                    f"{wanted:,} are published"
                )


def _compare_counts(report: Report, counts: Counts) -> None:
    wanted = {
        "training": (counts.train, counts.train_each),
        "test": (counts.test, counts.test_each),
    }
    for what, (whole, single) in wanted.items():
        each = report.each[what]
        if whole is not None and each.sum() != whole:
            report.differences.append(
                f"{each.sum():,} {what} images, where {whole:,} are published"
            )
        if single is not None:
            for label in np.flatnonzero(each != single):
                report.differences.append(
                    f"{report.classnames[label]}: {each[label]:,} {what} images instead of "
                    f"{single:,}"
                )


def shown(report: Report) -> Iterator[RenderableType]:
    """The report for the screen."""
    yield Text(f"{report.name} ({report.title}), {report.where}", style="bold")
    yield Text(f"split: {report.split_source}")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("", "images", "classes", "images a class"):
        table.add_column(column, justify="right" if column else "left")
    for what, each in report.each.items():
        table.add_row(what, f"{each.sum():,}", f"{np.count_nonzero(each):,}", _range(each))
    yield table
    if report.domains:
        yield Text("domains: " + ", ".join(f"{k} {v:,}" for k, v in report.domains.items()))
    yield Text(f"classes: {named(report.classnames)}")
    if report.examples:
        yield Text(f"for example: {'; '.join(report.examples)}")
    for note in report.notes:
        yield Text(f"note: {note}", style="yellow")
    yield from _lines(report)


def _range(each: IntArray) -> str:
    held = each[each > 0]
    if not len(held):
        return "0"
    low, high = int(held.min()), int(held.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _lines(report: Report) -> Iterator[Text]:
    if report.differences:
        yield from _listed("differs from the published numbers", report.differences, "red")
    elif report.published:
        yield Text("These are the published numbers.", style="green")
    else:
        yield Text("There are no published numbers to compare with.")
    if report.unusable:
        yield from _listed(f"{len(report.unusable):,} unusable", report.unusable, "red")
    else:
        yield Text("Every image opens.", style="green")
    if report.odd:
        kinds = Counter(line.rpartition(": ")[2] for line in report.odd)
        names = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
        yield from _listed(f"{len(report.odd):,} odd, converted ({names})", report.odd, "yellow")
    if report.twice:
        pairs = [readable(f"{train} = {test}") for train, test in report.twice]
        yield from _listed(f"{len(pairs):,} test images are in training too", pairs, "yellow")
    else:
        yield Text("No test image is in training too.", style="green")
    for what, found in report.again.items():
        if found:
            pairs = [
                readable(f"{before} = {name}{'' if alike else ', of two classes'}")
                for before, name, alike in sorted(found, key=lambda each: each[2])
            ]
            two = sum(not alike for *_, alike in found)
            head = f"{len(found):,} {what} images are there already ({two:,} in another class)"
            yield from _listed(head, pairs, "yellow")


def _listed(head: str, lines: list[str], style: str) -> Iterator[Text]:
    yield Text(f"{head}:", style=style)
    for line in lines[:SHOWN]:
        yield Text(f"  {line}")
    if len(lines) > SHOWN:
        yield Text(f"  and {len(lines) - SHOWN:,} more")

"""What was understood of a user's pictures, in words, before anything is trained on them."""

from __future__ import annotations

import numpy as np

from fplbench.data.images import ImageFiles
from fplbench.data.names import readable
from fplbench.dataset import Data, Split

MOST = 10  # names


def understood(name: str, data: Data) -> str:
    """One line: classes, domains, splits, counts, two examples."""
    counts = (len(data.train.images), len(data.test.images))
    parts = [
        f"{len(data.classnames)} classes ({named(data.classnames)})",
        *([f"{len(data.domains)} domains ({named(data.domains)})"] if data.domains else []),
        f"{counts[0]:,} training and {counts[1]:,} test images ({data.split_source})",
    ]
    shown = examples(data)
    return f"{name}: {', '.join(parts)}" + (f"; {' and '.join(shown)}." if shown else ".")


def named(names: tuple[str, ...]) -> str:
    """A few of the names."""
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more


def examples(data: Data) -> list[str]:
    """A training image of the first class and a test image of the last, with their classes."""
    found = []
    for split, first in ((data.train, True), (data.test, False)):
        label = split.labels.min() if first else split.labels.max()
        found += _example(data, split, int(np.flatnonzero(split.labels == label)[0]))
    return found


def _example(data: Data, split: Split, row: int) -> list[str]:
    if not isinstance(split.images, ImageFiles):
        return []
    domain = "" if split.domains is None else f" in {data.domains[split.domains[row]]}"
    file = readable(split.images.names[row])
    return [f"{file} is {data.classnames[split.labels[row]]!r}{domain}"]

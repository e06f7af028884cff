"""Whether the numbers of two records of one cell are the same, but for what rounding does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fplbench.plugins.measure import DEFAULT, metric
from fplbench.records.record import Record

Number = tuple[str, float, float]
"""A metric, and its mean in one record and in the other."""


def compared(one: Record, other: Record) -> Iterator[Number]:
    """Every metric that both have, of every measure."""
    for measure in (DEFAULT, *one.measures):
        mine, theirs = one.numbers(measure), other.numbers(measure)
        for question in mine:
            if question in theirs:
                yield metric(question, measure), mine[question].mean, theirs[question].mean


def of_headline(one: Record, other: Record) -> list[Number]:
    """The accuracies of the main table that both have; all that both have where it has none."""
    both = [name for name in one.metrics if name in other.metrics]
    names = [name for name in one.headline or both if name in both]
    return [(name, one.metrics[name].mean, other.metrics[name].mean) for name in names]


def furthest_first(numbers: Iterable[Number]) -> list[Number]:
    """By how far the two lie apart."""
    return sorted(numbers, key=lambda each: -apart(each))


def apart(number: Number) -> float:
    """How far the two lie apart."""
    return abs(number[1] - number[2])

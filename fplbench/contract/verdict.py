"""How a promise is found broken: results compared, and a sentence that says what it hints at."""

from __future__ import annotations

from torch import Tensor

from fplbench.method import Tensors

ROUNDING = 5e-5
"""Largest difference, relative to a tensor's largest number, that float32 accounts for. In a
scalar's gradient, whose terms nearly cancel, it is 2.1e-5 with torch 2.6 and 1.5e-5 with 2.15."""

PRECISION = 2e-4
"""The same between float32 and float64, or between two devices, through the whole text tower."""


class Failed(Exception):
    """A promise that is not kept: one sentence that says what happened and what it hints at."""


def distance(found: Tensor, wanted: Tensor) -> float:
    """The largest difference over the largest number wanted; infinite for another shape."""
    if found.shape != wanted.shape or not bool(found.isfinite().all()):
        return float("inf")
    if not found.numel():
        return 0.0
    exact = wanted.double()
    return float((found.double() - exact).abs().max()) / max(float(exact.abs().max()), 1e-12)


def furthest(found: Tensors, wanted: Tensors) -> tuple[str, float]:
    """The tensor that differs most, and by how much."""
    if set(found) != set(wanted):
        return ", ".join(sorted(set(found) ^ set(wanted))), float("inf")
    each = {name: distance(t, wanted[name]) for name, t in found.items()}
    return max(each.items(), key=lambda item: item[1], default=("", 0.0))


def compare(found: Tensors, wanted: Tensors, most: float, sentence: str) -> None:
    """Fail with the sentence, in which {what} and {far} stand for the furthest tensor."""
    what, far = furthest(found, wanted)
    if far > most:
        raise Failed(sentence.format(what=what, far=f"{far:.1g}"))

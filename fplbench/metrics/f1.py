"""Macro-F1: every class of a client counts alike, however few images it has."""

from __future__ import annotations

import torch
from torch import Tensor

from fplbench.plugins.measure import Answers, Measure, Sums


class MacroF1(Measure):
    """The mean over classes of F1 = 2 TP / (2 TP + FP + FN).

    The classes are those of the client's images and those it answers, as in scikit-learn's
    f1_score(average="macro").
    """

    name = "f1"
    title = "macro-F1"
    short = "F1"
    meaning = (
        "the harmonic mean of precision and recall of each class, averaged over the classes that a "
        "client's images show or its answers name"
    )

    def sums(self, answers: Answers, counts: Tensor) -> Sums:
        """Per class: right answers, answers, images; each [C, K]."""
        classes = answers.logits.shape[-1]
        counted = counts.double()
        return (
            _by_class(answers.labels, counted * answers.right, classes),
            _by_class(answers.chosen, counted, classes),
            _by_class(answers.labels, counted, classes),
        )

    def value(self, sums: Sums) -> Tensor:
        right, answered, images = sums
        both = answered + images  # = 2 TP + FP + FN
        f1 = torch.where(both > 0, 2 * right / both, 0.0)
        return 100 * f1.sum(1) / (both > 0).sum(1)


def _by_class(place: Tensor, counted: Tensor, classes: int) -> Tensor:
    """[C, K]: the sum of `counted` [C, B] at each place [C, B]."""
    empty = torch.zeros(len(place), classes, dtype=torch.double)
    return empty.scatter_add_(1, place, counted)

"""The contract of a measure: one file in fplbench/metrics/ (or a plug-in) with one subclass of
Measure.

A metric is a question put to clients (`scenario.Question`: their own test images, classes they
never saw, ...) and a measure of the answers. Accuracy is the measure of all that has the question's
bare name ("local"); another one's name stands behind it ("local.ece").

Axes: C clients, B images of a batch, K classes that compete. All tensors are on the host.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fplbench.plugins.base import Plugin

if TYPE_CHECKING:  # reports read a measure's words and do without torch
    from torch import Tensor

DEFAULT = "accuracy"
"""The measure of what has a question's bare name, and of all records from before there were
others."""

MOST_DECIMALS = 6
Sums = tuple["Tensor", ...]
"""Tensors [C, ...] in float64."""


@dataclass(frozen=True)
class Answers:
    """What C clients answer to a batch of images, and what is right.

    logits: [C, B, K] on any device; -inf for a class that a client may not answer.
    labels: [C, B], the right class. Where an image does not count (`Measure.sums`), any class.
    """

    logits: Tensor
    labels: Tensor

    @cached_property
    def _highest(self) -> Tensor:
        return self.logits.argmax(-1)

    @cached_property
    def chosen(self) -> Tensor:
        """[C, B]: the class of the highest logit."""
        return self._highest.to("cpu")

    @cached_property
    def right(self) -> Tensor:
        """[C, B]: whether that is the label."""
        return self.chosen == self.labels

    @cached_property
    def confidence(self) -> Tensor:
        """[C, B] in (0, 1]: the probability of the class chosen."""
        highest = self.logits.gather(-1, self._highest[..., None])
        return (self.logits - highest).exp_().sum(-1).reciprocal_().to("cpu")

    @cached_property
    def probabilities(self) -> Tensor:
        """[C, B, K]: the softmax of the logits."""
        return self.logits.softmax(-1).to("cpu")


class Measure(Plugin):
    """One function of predictions.

    Images come in batches, and no more is kept of one than what `sums` makes of it, so that clients
    of many images and classes need no memory for their logits.

    title: as in the middle of a sentence. short: beside a question's title in the head of a
    column. plural: of the title, where a caption speaks of several numbers; "" if it has none.
    unit: "%", or any other, "" for none. meaning: a clause that explains it. decimals: that
    tables print. across: whether it tells of all clients together and not of each one's answers;
    then a single model has no such number. All of these are kept in a record.
    """

    kind = "measure"
    texts = ("title", "short", "meaning")
    title: ClassVar[str]
    short: ClassVar[str]
    plural: ClassVar[str] = ""
    unit: ClassVar[str] = "%"
    meaning: ClassVar[str]
    lower_is_better: ClassVar[bool] = False
    decimals: ClassVar[int] = 1
    across: ClassVar[bool] = False

    @classmethod
    def complaint(cls) -> str | None:
        kinds = {"plural": str, "unit": str, "lower_is_better": bool, "across": bool}
        for key, kind in kinds.items():
            if not isinstance(getattr(cls, key), kind):
                return f"{cls.__name__}.{key} must be a {kind.__name__}"
        decimals: object = cls.decimals
        if not isinstance(decimals, int) or not 0 <= decimals <= MOST_DECIMALS:
            return f"{cls.__name__}.decimals must be a whole number from 0 to {MOST_DECIMALS}"
        return None

    @abstractmethod
    def sums(self, answers: Answers, counts: Tensor) -> Sums:
        """What is added up over the batches of one question. counts: [C, B], the images that
        count; the others may be padding, and must change nothing."""

    @abstractmethod
    def value(self, sums: Sums) -> Tensor:
        """[C]: each client's number, from the sums over all its images; nan without an image."""

    def over(self, values: NDArray[np.float64]) -> float:
        """One number of those of all clients that have one, [n]; also of domains."""
        return float(values.mean())


class PerImage(Measure):
    """A measure that is the mean of a score of each image."""

    @abstractmethod
    def each(self, answers: Answers) -> Tensor:
        """[C, B]: the score of each image, in the measure's unit."""

    def sums(self, answers: Answers, counts: Tensor) -> Sums:
        scores = self.each(answers).double().where(counts, 0.0)
        return scores.sum(1), counts.sum(1).double()

    def value(self, sums: Sums) -> Tensor:
        total, number = sums
        return total / number


def metric(question: str, measure: str) -> str:
    """The name of what a measure makes of a question."""
    return question if measure == DEFAULT else f"{question}.{measure}"

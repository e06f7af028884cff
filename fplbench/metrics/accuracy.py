"""The share of right answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fplbench.plugins.measure import Answers, PerImage

if TYPE_CHECKING:
    from torch import Tensor


class Accuracy(PerImage):
    """Right answers of all answers."""

    name = "accuracy"
    title = "accuracy"
    short = "acc."
    plural = "accuracies"
    meaning = "right answers over the images of a question"

    def each(self, answers: Answers) -> Tensor:
        return 100.0 * answers.right

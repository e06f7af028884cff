"""Mine (authors, venue, year): one sentence."""

from __future__ import annotations

from torch import Tensor

from fplbench.plugins.measure import Answers, PerImage


class Mine(PerImage):
    """How sure answers are, right or wrong."""

    name = "mine"
    title = "mean confidence"
    short = "conf."
    meaning = "the mean probability of the class that is answered"

    def each(self, answers: Answers) -> Tensor:
        """[C, B]: a number for each image."""
        return 100 * answers.confidence

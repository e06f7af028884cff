"""Expected calibration error: how far confidence is from accuracy."""

from __future__ import annotations

import torch
from torch import Tensor

from fplbench.plugins.measure import Answers, Measure, Sums

BINS = 15
"""As in Guo et al. (ICML 2017), section 5."""


class Calibration(Measure):
    """Guo et al. (ICML 2017), equation 3: answers are put into bins of equal width by their
    confidence, (0, 1/15] to (14/15, 1]; the error is the mean over answers of |accuracy -
    confidence| of the bin."""

    name = "ece"
    title = "expected calibration error"
    short = "ECE"
    meaning = (
        f"how far confidence is from accuracy, in points: the mean distance of the two over "
        f"{BINS} bins of equal confidence, weighted by their answers (Guo et al., ICML 2017)"
    )
    lower_is_better = True

    def sums(self, answers: Answers, counts: Tensor) -> Sums:
        """Right answers less confidence, summed in each bin, [C, bins]; the images, [C]."""
        confidence = answers.confidence.double()
        place = ((confidence * BINS).ceil().long() - 1).clamp(0, BINS - 1)
        # |right - confidence| of a bin's means times its share of the images: its number of
        # answers cancels, so the difference of the sums is all that is needed.
        gap = (answers.right.double() - confidence).where(counts, 0.0)
        empty = torch.zeros(len(place), BINS, dtype=torch.double)
        return empty.scatter_add_(1, place, gap), counts.sum(1).double()

    def value(self, sums: Sums) -> Tensor:
        gaps, images = sums
        return 100 * gaps.abs().sum(1) / images

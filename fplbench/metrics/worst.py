"""The client that is served worst."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fplbench.metrics.accuracy import Accuracy


class Worst(Accuracy):
    """The lowest accuracy of a client, as fair federated learning asks for (Mohri, Sivek and
    Suresh, ICML 2019, who train for the worst mixture of clients)."""

    name = "worst"
    title = "accuracy of the worst client"
    short = "worst"
    plural = ""
    meaning = "the lowest of the accuracies that other tables have the mean of"
    across = True

    def over(self, values: NDArray[np.float64]) -> float:
        return float(values.min())

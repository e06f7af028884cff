"""What seeds explain and what they do not: paired tests between methods, ranks over data sets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr

LEVEL = 0.05

# Data set -> seed -> value: one method's numbers.
Samples = Mapping[str, Mapping[int, float]]


def paired_p(first: Samples, second: Samples) -> float:
    """Two-sided p of a paired t-test over the seeds of each data set.

    Pairs are runs with the same data set and seed, which share clients and images. Over several
    data sets the mean differences count alike, and only their variance over seeds counts as
    chance (degrees of freedom by Welch and Satterthwaite); with one data set this is the paired
    t-test. 1 where nothing can be told: the data sets differ, or one has fewer than two pairs.
    """
    if first.keys() != second.keys() or not first:
        return 1.0
    means, variances, freedoms = [], [], []
    for data, values in first.items():
        seeds = sorted(values.keys() & second[data].keys())
        if len(seeds) < 2:
            return 1.0
        # Rounded, since numbers that are equal may differ in their last bits.
        pairs = np.round([values[seed] - second[data][seed] for seed in seeds], 9)
        means.append(float(pairs.mean()))
        # Of equal numbers exactly 0, which their mean's rounding would hide.
        variances.append(float(pairs.var(ddof=1)) / len(pairs) if np.ptp(pairs) else 0.0)
        freedoms.append(len(pairs) - 1)
    difference, variance = sum(means) / len(means), sum(variances) / len(means) ** 2
    if variance == 0:
        return 0.0 if difference else 1.0
    freedom = sum(variances) ** 2 / sum(
        each**2 / free for each, free in zip(variances, freedoms, strict=True)
    )
    return float(2 * stdtr(freedom, -abs(difference) / math.sqrt(variance)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number by Holm's step-down rule, in the order given."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for step, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - step) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def beats_all(one: Samples, others: Sequence[Samples]) -> bool:
    """Whether each paired test against the others tells a difference, corrected by Holm."""
    return bool(others) and max(holm([paired_p(one, other) for other in others])) < LEVEL


@dataclass(frozen=True)
class Ranking:
    """Average ranks over data sets, 1 being the best and ties sharing theirs.

    p: of Friedman's test that all methods rank alike. critical: Nemenyi's critical difference
    at LEVEL; methods nearer than it are not told apart. Both as in Demsar (JMLR 2006).
    """

    ranks: dict[str, float]
    data_sets: int
    p: float
    critical: float

    def cliques(self) -> list[tuple[str, ...]]:
        """The largest sets of methods, neighbours in rank, that are not told apart."""
        order = sorted(self.ranks, key=lambda name: self.ranks[name])
        found: list[tuple[str, ...]] = []
        for start, name in enumerate(order):
            near = [o for o in order[start:] if self.ranks[o] - self.ranks[name] < self.critical]
            if len(near) > 1 and not (found and near[-1] == found[-1][-1]):
                found.append(tuple(near))
        return found


def ranking(table: pd.DataFrame) -> Ranking | None:
    """Of accuracies, a row a data set and a column a method, all filled.

    None for fewer than three methods or two data sets, of which Friedman's test says nothing.
    """
    data_sets, methods = table.shape
    if methods < 3 or data_sets < 2:
        return None
    from scipy.stats import friedmanchisquare, studentized_range  # slow to import

    table = table.round(9)
    ranks = table.rank(axis=1, ascending=False).mean()
    tied = table.nunique(axis=1).max() == 1  # everywhere, where the test divides 0 by 0
    p = 1.0 if tied else friedmanchisquare(*(table[name] for name in table)).pvalue
    width = studentized_range.isf(LEVEL, methods, math.inf) / math.sqrt(2)
    return Ranking(
        ranks={str(name): float(rank) for name, rank in ranks.items()},
        data_sets=data_sets,
        p=float(p),
        critical=float(width * math.sqrt(methods * (methods + 1) / (6 * data_sets))),
    )

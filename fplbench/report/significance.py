"""What seeds explain and what they do not: methods against the best one, ranks over data sets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtr, stdtr, stdtrit

LEVEL = 0.05

# Seed -> value: one method's numbers.
Samples = Mapping[int, float]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Behind:
    """A method against the best one of its column.

    difference: its mean less the best one's. low, high: the 95 % interval of that difference
    alone. p: corrected for the choice of the best; 1 for the best itself, and where nothing can
    be told.
    """

    difference: float
    low: float
    high: float
    p: float

    def turned(self) -> Behind:
        """The same of numbers with the other sign."""
        return Behind(-self.difference, -self.high, -self.low, self.p)


def against_best(
    samples: Sequence[Samples], trained: Sequence[bool], lower_is_better: bool = False
) -> list[Behind | None]:
    """Each method against the one of the highest mean, or of the lowest where that is better; None
    for all with fewer than two seeds.

    samples: numbers of the same seeds; a value is a seed's average where a table is over data
    sets, since the data sets share a seed's draws. trained: False where nothing is trained
    (zero-shot), so that seeds change nothing but the images.

    Trained methods. Value = seed + method + residual, in which the seed (who holds what, where
    the context starts) is common to all. The variance of a difference is twice the mean square
    of the residuals over the number of seeds, with (methods - 1)(seeds - 1) degrees of freedom
    (two-way analysis of variance): three seeds alone give two. Methods do not wander alike,
    though, so of the pooled variance and that of the pair's own differences the larger one
    counts; this keeps the rate of false marks where one method is three times as unsteady.

    Zero-shot has no residual, and seeds do not cancel against it, so it takes no part in the
    above. A trained method less zero-shot has a variance of seed and residual together: the
    variances of all trained methods averaged (again at least the method's own), with degrees of
    freedom by Satterthwaite (1946), since one seed's share is in all of them.

    Correction. The best is the best *because* it was lucky, so a test that takes it for chosen
    beforehand (Dunnett's, Holm's) is too lenient: of five equal methods, 8 % of tables would
    leave one out. Of r methods the largest lies above the smallest by the studentized range
    (Tukey; Newman 1939, Keuls 1952). So the method with r - 1 between it and the best, both
    included, is tested by the range of r, the worst first, and not told from the best where a
    worse one is not. The second one is tested by its t-test alone, as it should: "better than
    all others" is an intersection of claims, each of which may be tested at LEVEL (Berger, 1982).
    What Newman's and Keuls's test is blamed for concerns groups of equal methods further down,
    which nothing is said of here. Against zero-shot, which chance does not choose, the p of the
    trained methods are corrected by Holm.
    """
    if lower_is_better:
        turned = [{seed: -value for seed, value in each.items()} for each in samples]
        return [one and one.turned() for one in against_best(turned, trained)]
    seeds = sorted(set.intersection(*(set(values) for values in samples))) if samples else []
    if len(seeds) < 2:
        return [None] * len(samples)
    values = np.array([[each[seed] for seed in seeds] for each in samples])
    # Rounded, since numbers that are equal may differ in their last bits.
    means = values.mean(1).round(9)
    best = int(means.argmax())
    moving = np.array(trained, dtype=bool)
    found = [_one(values, moving, row, best) for row in range(len(values))]
    p = np.array([one.p for one in found])
    if moving[best]:
        rivals = [row for row in np.argsort(means, kind="stable") if moving[row] and row != best]
        worst = 0.0
        for row, methods in zip(rivals, range(len(rivals) + 1, 1, -1), strict=True):
            worst = max(worst, _of_range(values, moving, row, best, methods))
            p[row] = worst
        p[~moving] = np.minimum(1.0, p[~moving] * moving.sum())
    elif moving.any():
        p[moving] = holm(p[moving].tolist())
    return [
        Behind(one.difference, one.low, one.high, float(each))
        for one, each in zip(found, p, strict=True)
    ]


def between(
    samples: Sequence[Samples], trained: Sequence[bool], one: int, other: int
) -> Behind | None:
    """Method `one` less method `other`, both named before the numbers were seen, so that p is
    not corrected for a choice; None with fewer than two seeds.

    samples, trained: of all methods of the table, as in `against_best`, whose variance it takes.
    """
    seeds = sorted(set.intersection(*(set(values) for values in samples)))
    if len(seeds) < 2:
        return None
    values = np.array([[each[seed] for seed in seeds] for each in samples])
    return _one(values, np.array(trained, dtype=bool), one, other)


def _one(values: Floats, trained: NDArray[np.bool_], row: int, best: int) -> Behind:
    """The difference by itself, its p not corrected."""
    difference = float(round(values[row].mean() - values[best].mean(), 9))
    if row == best:
        return Behind(0.0, 0.0, 0.0, 1.0)
    variance, freedom = _variance(values, trained, row, best)
    if variance == 0:
        # Without chance equal or not; a trained method is never without, be its seeds all alike.
        told = bool(difference) and not (trained[row] or trained[best])
        return Behind(difference, difference, difference, 0.0 if told else 1.0)
    error = math.sqrt(variance)
    half = float(stdtrit(freedom, 1 - LEVEL / 2)) * error
    p = float(2 * stdtr(freedom, -abs(difference) / error))
    return Behind(difference, difference - half, difference + half, p)


def _of_range(
    values: Floats, trained: NDArray[np.bool_], row: int, best: int, methods: int
) -> float:
    """p of a difference between the ends of so many methods."""
    variance, freedom = _variance(values, trained, row, best)
    difference = round(float(values[best].mean() - values[row].mean()), 9)
    if variance == 0 or difference == 0:
        return 1.0
    return range_p(difference / math.sqrt(variance / 2), methods, int(freedom))


def range_p(width: float, count: int, freedom: int) -> float:
    """That the largest of `count` equal means lies so far above the smallest, in units of a
    mean's standard error: the studentized range, by quadrature.

    Agrees with scipy.stats.studentized_range.sf to 1e-8 and takes a thousandth of its time, which
    a page of many tables needs.
    """
    if count == 2:
        return float(2 * stdtr(freedom, -width / math.sqrt(2)))
    deviations, weights = _deviations(freedom)
    z, step = (8 * each for each in _nodes())
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    below = (ndtr(z) - ndtr(z - width * deviations[:, None])) ** (count - 1)
    within = count * below @ (step * density)
    return float(np.clip(1 - weights @ within, 0.0, 1.0))


@cache
def _nodes() -> tuple[Floats, Floats]:
    """Of Gauss and Legendre's quadrature on [-1, 1], with their weights."""
    x, step = np.polynomial.legendre.leggauss(64)
    return x, step


@cache
def _deviations(freedom: int) -> tuple[Floats, Floats]:
    """Nodes and weights of the standard deviation's own distribution, where its true value is 1.

    The nodes are quantiles, dense at both ends, where the range has its rare values.
    """
    x, step = _nodes()
    x = (x + 1) / 2
    share = x**3 * (10 - 15 * x + 6 * x**2)
    weights = step / 2 * 30 * x**2 * (1 - x) ** 2
    return np.sqrt(2 * gammaincinv(freedom / 2, share) / freedom), weights


def _variance(
    values: Floats, trained: NDArray[np.bool_], row: int, best: int
) -> tuple[float, float]:
    """Of a difference of two means, with its degrees of freedom. values: [methods, seeds]."""
    seeds = values.shape[1]
    apart = (values[row] - values[best]).round(9)
    own = float(apart.var(ddof=1)) / seeds if np.ptp(apart) else 0.0
    if not (trained[row] or trained[best]):
        return own, seeds - 1
    known = values[trained]
    if trained[row] and trained[best]:
        by_seed, residual = _mean_squares(known)
        return max(2 * residual / seeds, own), (len(known) - 1) * (seeds - 1)
    still = values[best] if trained[row] else values[row]
    by_seed, residual = _mean_squares(known - still)
    count = len(known)
    parts = by_seed / count, residual * (count - 1) / count
    pooled = sum(parts)
    if pooled == 0:
        return own, seeds - 1
    freedom = pooled**2 / (
        parts[0] ** 2 / (seeds - 1) + parts[1] ** 2 / max(1, (count - 1) * (seeds - 1))
    )
    return max(pooled / seeds, own), freedom


def _mean_squares(values: Floats) -> tuple[float, float]:
    """Of seeds, and of what neither seed nor method explains. values: [methods, seeds]."""
    methods, seeds = values.shape
    by_seed = values.mean(0) - values.mean()
    rest = values - values.mean(1, keepdims=True) - by_seed
    # Rounded, so that nothing is left of equal numbers.
    of_seeds = methods * float((by_seed.round(9) ** 2).sum()) / (seeds - 1)
    return of_seeds, float((rest.round(9) ** 2).sum()) / max(1, (methods - 1) * (seeds - 1))


def told(one: Behind | None) -> bool:
    """Whether a method is told from the best."""
    return one is not None and one.p < LEVEL


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number by Holm's step-down rule, in the order given."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for step, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - step) * p_values[place]))
        adjusted[place] = largest
    return adjusted


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


def ranking(table: pd.DataFrame, lower_is_better: bool = False) -> Ranking | None:
    """Of numbers, a row a data set and a column a method, all filled.

    None for fewer than three methods or two data sets, of which Friedman's test says nothing.
    """
    data_sets, methods = table.shape
    if methods < 3 or data_sets < 2:
        return None
    from scipy.stats import friedmanchisquare, studentized_range  # slow to import

    table = table.round(9)
    ranks = table.rank(axis=1, ascending=lower_is_better).mean()
    tied = table.nunique(axis=1).max() == 1  # everywhere, where the test divides 0 by 0
    p = 1.0 if tied else friedmanchisquare(*(table[name] for name in table)).pvalue
    width = studentized_range.isf(LEVEL, methods, math.inf) / math.sqrt(2)
    return Ranking(
        ranks={str(name): float(rank) for name, rank in ranks.items()},
        data_sets=data_sets,
        p=float(p),
        critical=float(width * math.sqrt(methods * (methods + 1) / (6 * data_sets))),
    )

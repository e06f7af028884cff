"""Tests between methods: what scipy and the published examples say, and what chance alone does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import studentized_range, ttest_1samp, ttest_rel
from scipy.stats import t as student

from fplbench.report.significance import (
    LEVEL,
    Behind,
    against_best,
    between,
    holm,
    range_p,
    ranking,
    told,
)

# Demsar (JMLR 2006), table 6: AUC of C4.5 with m and cf tuned, or not, on 14 data sets.
# Where it prints 0.975 twice it ranks the first one higher.
DEMSAR = """\
0.763 0.768 0.771 0.798
0.599 0.591 0.590 0.569
0.954 0.971 0.968 0.967
0.628 0.661 0.654 0.657
0.882 0.888 0.886 0.898
0.936 0.931 0.916 0.931
0.661 0.668 0.609 0.685
0.583 0.583 0.563 0.625
0.775 0.838 0.866 0.875
1.000 1.000 1.000 1.000
0.940 0.962 0.965 0.962
0.619 0.666 0.614 0.669
0.972 0.981 0.97501 0.975
0.957 0.978 0.946 0.970"""


def compare(*rows: list[float], still: tuple[int, ...] = ()) -> list[Behind]:
    """Methods against the best of them; still: places of those that train nothing."""
    found = against_best(
        [dict(enumerate(row)) for row in rows], [place not in still for place in range(len(rows))]
    )
    assert None not in found
    return found  # type: ignore[return-value]


def test_of_two_methods_it_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    for count in (2, 3, 5, 10):
        best, other = rng.normal(72, 3, count), rng.normal(68, 3, count)
        best += max(0.0, float((other - best).mean()) + 0.1)
        ours = compare(best.tolist(), other.tolist())[1]
        theirs = ttest_rel(other, best)
        interval = theirs.confidence_interval()
        assert ours.p == pytest.approx(theirs.pvalue, rel=1e-6)
        assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), rel=1e-6)


def test_a_trained_method_beside_zero_shot_has_its_own_spread() -> None:
    values = [71.0, 74.0, 70.5]
    (_, ours) = compare(values, [60.0] * 3, still=(1,))
    assert ours.p == pytest.approx(ttest_1samp(values, 60.0).pvalue, rel=1e-6)


def test_seeds_that_are_hard_for_all_are_no_noise() -> None:
    hard = np.array([0.0, -9.0, 4.0])
    rows = [(base + hard + wobble).tolist() for base, wobble in WANDERING]
    assert [told(one) for one in compare(*rows)] == [False, True, True]


WANDERING = [
    (75.0, np.array([0.0, 0.2, -0.2])),
    (73.0, np.array([0.2, -0.2, 0.0])),
    (72.0, np.array([-0.2, 0.0, 0.2])),
]


def test_more_methods_know_the_variance_better() -> None:
    """The same pair with the same differences, alone and beside two others that wander alike."""
    pair = [[75.0, 75.5, 74.5], [72.0, 71.5, 73.0]]
    others = [[60.0, 60.5, 60.3], [59.9, 60.6, 60.4]]
    assert compare(*pair)[1].p > compare(*pair, *others)[1].p


def test_an_unsteady_pair_is_not_judged_by_steady_methods() -> None:
    pair = [[80.0, 70.0, 78.0], [70.0, 74.0, 72.0]]
    steady = [[60.0, 60.1, 60.2], [60.1, 60.0, 60.2], [60.2, 60.1, 60.0]]
    assert not told(compare(*pair, *steady)[1])


def test_a_better_one_is_not_told_where_a_worse_one_is_not() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        found = compare(*rng.normal(70, 1, (6, 4)).tolist())
        by_rank = sorted(found, key=lambda one: one.difference)
        assert [one.p for one in by_rank] == sorted(one.p for one in by_rank)


def test_one_seed_tells_nothing() -> None:
    assert against_best([{0: 70.0}, {0: 10.0}], [True, True]) == [None, None]
    assert against_best([{0: 70.0, 1: 71.0}, {2: 10.0, 3: 11.0}], [True, True]) == [None, None]
    assert against_best([], []) == []


def test_only_methods_without_chance_differ_without_doubt() -> None:
    assert compare([59.8] * 3, [59.7] * 3, still=(0, 1))[1].p == 0
    assert compare([59.8] * 3, [59.8 - 1e-13] * 3, still=(0, 1))[1].p == 1
    # A difference that is the same in two seeds, as small test sets give it.
    assert compare([59.8] * 2, [59.7] * 2)[1].p == 1
    assert compare([59.8] * 2, [59.7] * 2, still=(1,))[1].p == 1


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 30), st.integers(2, 12), st.sampled_from([2, 3, 8, 28, 100]))
def test_the_studentized_range_is_scipys(width: float, count: int, freedom: int) -> None:
    theirs = studentized_range.sf(width, count, freedom)
    assert range_p(width, count, freedom) == pytest.approx(theirs, abs=1e-7)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_raw_and_bonferroni(values: list[float]) -> None:
    adjusted = holm(values)
    for raw, corrected in zip(values, adjusted, strict=True):
        assert raw <= corrected <= min(1.0, len(values) * raw) + 1e-12
    order = np.argsort(values, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


def test_holm_on_its_textbook_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_chance_alone_rarely_leaves_a_method_out() -> None:
    """Of six equal methods all are marked in all but LEVEL of the tables."""
    rng, tables = np.random.default_rng(1), 400
    out = sum(
        any(told(one) for one in compare(*rng.normal(70, 2, (6, 5)).tolist()))
        for _ in range(tables)
    )
    assert out / tables <= LEVEL


def test_ranks_and_critical_difference_are_demsars() -> None:
    rows = [list(map(float, line.split())) for line in DEMSAR.splitlines()]
    found = ranking(pd.DataFrame(rows, columns=["c", "c+m", "c+cf", "c+m+cf"]))
    assert found is not None
    assert list(found.ranks.values()) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert found.critical == pytest.approx(1.25, abs=0.01)
    assert found.p < LEVEL
    # As the paper says: at 0.05 the test after the first one is not strong enough for any pair.
    assert found.cliques() == [("c+m+cf", "c+m", "c+cf", "c")]


def test_two_methods_or_one_data_set_have_no_ranking() -> None:
    assert ranking(pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, 3.0]})) is None
    assert ranking(pd.DataFrame({"a": [1.0], "b": [2.0], "c": [3.0]})) is None


def test_methods_that_always_tie_are_one_clique() -> None:
    found = ranking(pd.DataFrame({name: [1.0, 2.0, 3.0] for name in "abc"}))
    assert found is not None
    assert found.p == 1
    assert found.cliques() == [("a", "b", "c")]


def test_two_that_train_nothing_are_a_paired_t_test() -> None:
    a, b = [70.0, 71.5, 73.0, 70.5], [69.0, 71.0, 70.0, 70.0]
    assert compare(a, b, still=(0, 1))[1].p == pytest.approx(ttest_rel(a, b).pvalue)


def test_the_interval_of_an_unsteady_pair_is_by_its_own_variance() -> None:
    pair = [[80.0, 70.0, 78.0], [70.0, 74.0, 72.0]]
    steady = [[60.0, 60.1, 60.2], [60.1, 60.0, 60.2], [60.2, 60.1, 60.0]]
    found = compare(*pair, *steady)[1]
    own = np.subtract(*pair).var(ddof=1) / 3
    half = student.isf(0.025, 4 * 2) * np.sqrt(own)
    assert (found.high - found.low) / 2 == pytest.approx(half)


STILL = [75.0, 76.0, 74.5], [73.0, 74.5, 72.0]


def test_zero_shot_below_the_best_is_corrected_for_the_choice() -> None:
    rows = [*STILL, [71.9, 71.9, 71.9]]
    samples, trained = [dict(enumerate(row)) for row in rows], [True, True, False]
    raw = between(samples, trained, 2, 0).p
    assert compare(*rows, still=(2,))[2].p == pytest.approx(2 * raw)
    assert raw < 0.5


def test_zero_shot_above_all_is_corrected_by_holm() -> None:
    rows = [*STILL, [78.0, 78.0, 78.0]]
    samples, trained = [dict(enumerate(row)) for row in rows], [True, True, False]
    raw = [between(samples, trained, place, 2).p for place in (0, 1)]
    assert [one.p for one in compare(*rows, still=(2,))][:2] == pytest.approx(holm(raw))


def test_zero_shot_is_no_rival_of_the_trained() -> None:
    rows = [*STILL, [71.5, 73.0, 70.0]]
    beside = compare(*rows, [74.0] * 3, still=(3,))
    assert [one.p for one in beside[:3]] == pytest.approx([one.p for one in compare(*rows)])


def test_variance_against_zero_shot_is_pooled_or_a_methods_own_where_that_is_more() -> None:
    draw = np.random.default_rng(0)
    steady = [(70 + draw.normal(0, 0.5, 5)).tolist() for _ in range(3)]
    wild = (66 + 6 * draw.normal(size=5)).tolist()
    found = compare(*steady, wild, [80.0] * 5, still=(4,))
    known = np.array([*steady, wild]) - 80.0
    methods, seeds = known.shape
    by_seed = known.mean(0) - known.mean()
    of_seeds = methods * (by_seed**2).sum() / (seeds - 1)
    rest = known - known.mean(1, keepdims=True) - by_seed
    of_rest = (rest**2).sum() / ((methods - 1) * (seeds - 1))
    parts = of_seeds / methods, of_rest * (methods - 1) / methods
    pooled = sum(parts)
    # Satterthwaite's degrees of freedom.
    freedom = pooled**2 / (
        parts[0] ** 2 / (seeds - 1) + parts[1] ** 2 / ((methods - 1) * (seeds - 1))
    )
    for row in (0, 3):
        variance = max(pooled, np.var(known[row], ddof=1)) / seeds
        half = student.isf(0.025, freedom) * np.sqrt(variance)
        assert (found[row].high - found[row].low) / 2 == pytest.approx(half)
    assert np.var(known[3], ddof=1) > pooled

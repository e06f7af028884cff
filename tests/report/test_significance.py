"""Tests between methods: what scipy and the published examples say, and what chance alone does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from fplbench.report.significance import LEVEL, Samples, beats_all, holm, paired_p, ranking

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


def on(data: str, values: list[float]) -> Samples:
    return {data: dict(enumerate(values))}


def test_on_one_data_set_it_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    for count in (2, 3, 5, 10):
        first, second = rng.normal(70, 3, count), rng.normal(68, 3, count)
        ours = paired_p(on("a", first.tolist()), on("a", second.tolist()))
        assert ours == pytest.approx(ttest_rel(first, second).pvalue, rel=1e-6)


def test_data_sets_of_different_difficulty_are_no_noise() -> None:
    first = {"easy": {0: 90.0, 1: 91.0, 2: 90.5}, "hard": {0: 30.0, 1: 31.0, 2: 30.2}}
    second = {
        data: {s: v - 2 + 0.1 * s for s, v in values.items()} for data, values in first.items()
    }
    assert paired_p(first, second) < 0.001


def test_without_a_pair_or_a_second_seed_nothing_is_told() -> None:
    assert paired_p(on("a", [70.0]), on("a", [10.0])) == 1
    assert paired_p({"a": {0: 70.0, 1: 71.0}}, {"a": {2: 10.0, 3: 11.0}}) == 1
    assert paired_p(on("a", [70.0, 71.0]), on("b", [10.0, 11.0])) == 1
    assert paired_p({}, {}) == 1


def test_methods_without_chance_differ_or_are_equal() -> None:
    assert paired_p(on("a", [59.8] * 3), on("a", [59.7] * 3)) == 0
    assert paired_p(on("a", [59.8] * 3), on("a", [59.8 + 1e-13] * 3)) == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_raw_and_bonferroni(values: list[float]) -> None:
    adjusted = holm(values)
    for raw, corrected in zip(values, adjusted, strict=True):
        assert raw <= corrected <= min(1.0, len(values) * raw) + 1e-12
    order = np.argsort(values, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


def test_holm_on_its_textbook_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_chance_alone_rarely_makes_a_best_method() -> None:
    """Of six equal methods the luckiest is marked in at most LEVEL of the tables."""
    rng, marked, tables = np.random.default_rng(1), 0, 400
    for _ in range(tables):
        values = sorted(rng.normal(70, 2, (6, 5)).tolist(), key=np.mean)
        *others, best = [on("a", each) for each in values]
        marked += beats_all(best, others)
    assert marked / tables <= LEVEL


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

"""Summaries over clients, and the numbers derived from their means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fplbench.metrics.accuracy import Accuracy
from fplbench.metrics.ece import Calibration
from fplbench.metrics.worst import Worst
from fplbench.records.summary import Summary, harmonic_mean, not_derivable, summarise

NAN = float("nan")
percent = st.floats(0, 100)


def test_a_summary_counts_only_the_clients_that_have_the_number() -> None:
    found = summarise({"local": np.array([60.0, NAN, 80.0])})
    assert found == {"local": Summary(mean=70.0, std=10.0, worst=60.0, count=2)}


def test_a_metric_that_no_client_has_is_absent() -> None:
    assert summarise({"novel": np.array([NAN, NAN]), "local": np.array([])}) == {}


def test_the_shared_prompt_alone_is_a_federation_of_one() -> None:
    assert summarise({"global": np.array([55.5])})["global"] == Summary(55.5, 0.0, 55.5, 1)


def test_harmonic_means_are_taken_over_means_and_not_averaged_over_clients() -> None:
    base, novel = np.array([90.0, 30.0]), np.array([30.0, 90.0])
    found = summarise({"base": base, "novel": novel, "local": np.array([80.0, 40.0])})
    assert found["hm_bn"].mean == pytest.approx(60)
    assert found["hm"].mean == pytest.approx(60)
    assert found["cm"].mean == pytest.approx(60)
    assert (found["hm"].std, found["hm"].worst, found["hm"].count) == (None, None, 2)


def test_the_combined_metric_is_half_local_and_half_the_harmonic_mean() -> None:
    values = {"local": [96.0], "base": [80.0], "novel": [60.0]}
    found = summarise({name: np.array(value) for name, value in values.items()})
    assert found["hm_bn"].mean == pytest.approx(2 * 80 * 60 / 140)
    assert found["hm"].mean == pytest.approx(3 / (1 / 96 + 1 / 80 + 1 / 60))
    assert found["cm"].mean == pytest.approx((96 + 2 * 80 * 60 / 140) / 2)


@pytest.mark.parametrize("gone", ["local", "base", "novel"])
def test_a_derived_metric_with_a_part_missing_is_absent(gone: str) -> None:
    values = {name: np.array([50.0]) for name in ("local", "base", "novel")}
    values[gone] = np.array([NAN])
    found = summarise(values)
    assert "hm" not in found
    assert "cm" not in found
    assert ("hm_bn" in found) == (gone == "local")


def test_the_average_over_domains_counts_each_domain_once() -> None:
    values = {"domain/a": np.array([90.0, 90.0, NAN]), "domain/b": np.array([NAN, NAN, 30.0])}
    found = summarise({**values, "local": np.array([90.0, 90.0, 30.0])})
    assert found["domains"].mean == pytest.approx(60)
    assert found["domains"].count == 1
    assert found["local"].mean == pytest.approx(70)


def test_the_shared_prompts_average_over_domains_leaves_the_pooled_number_out() -> None:
    values = {"global": [80.0], "global/a": [90.0], "global/b": [50.0], "global_hold_out": [1.0]}
    values |= {"unseen/c": [10.0, 20.0], "unseen/d": [30.0, 60.0], "global_unseen/c": [7.0]}
    found = summarise({name: np.array(value) for name, value in values.items()})
    assert found["global_domains"].mean == pytest.approx(70)
    assert found["unseen"].mean == pytest.approx(30)
    assert found["global_unseen"].mean == pytest.approx(7)


def test_an_average_over_domains_is_absent_when_one_of_them_is() -> None:
    assert "domains" not in summarise({"domain/a": np.array([1.0]), "domain/b": np.array([NAN])})


@given(parts=st.lists(percent, min_size=1, max_size=4))
def test_a_harmonic_mean_lies_between_its_parts(parts: list[float]) -> None:
    mean = harmonic_mean(*parts)
    assert mean == 0 or min(parts) * (1 - 1e-9) <= mean <= max(parts) * (1 + 1e-9)


def test_a_harmonic_mean_with_a_zero_part_is_zero() -> None:
    assert harmonic_mean(0.0, 80.0, 90.0) == 0


def test_a_harmonic_mean_of_a_negative_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="-1"):
        harmonic_mean(-1.0, 50.0)


def test_a_derived_metric_without_a_part_says_why() -> None:
    found = not_derivable({"novel": "no such classes", "global/photo": "nothing shared"})
    assert found == {
        "hm": "no such classes",
        "hm_bn": "no such classes",
        "cm": "no such classes",
        "global_domains": "nothing shared",
    }
    assert not_derivable({"global": "nothing shared"}) == {}


MEASURES = (Accuracy(), Calibration(), Worst())


def test_a_measure_is_summarised_in_its_own_way() -> None:
    values = {
        "local": np.array([60.0, NAN, 80.0]),
        "local.ece": np.array([5.0, NAN, 7.0]),
        "local.worst": np.array([60.0, NAN, 80.0]),
    }
    assert summarise(values, MEASURES) == {
        "local": Summary(mean=70.0, std=10.0, worst=60.0, count=2),
        "local.ece": Summary(mean=6.0, std=1.0, worst=7.0, count=2),
        "local.worst": Summary(mean=60.0, std=None, worst=None, count=2),
    }


def test_harmonic_means_are_of_accuracies_alone() -> None:
    values = {name: np.array([50.0]) for name in ("local", "base", "novel")}
    values |= {f"{name}.ece": np.array([5.0]) for name in values}
    found = summarise(values, MEASURES)
    assert {name for name in found if name.endswith(".ece")} == {
        "local.ece",
        "base.ece",
        "novel.ece",
    }
    assert {"hm", "hm_bn", "cm"} <= set(found)


def test_an_average_over_domains_is_of_one_measure() -> None:
    values = {
        "domain/a": np.array([90.0, 70.0, NAN]),
        "domain/b": np.array([NAN, NAN, 30.0]),
        "domain/a.ece": np.array([4.0, 6.0, NAN]),
        "domain/b.ece": np.array([NAN, NAN, 9.0]),
        "domain/a.worst": np.array([90.0, 70.0, NAN]),
        "domain/b.worst": np.array([NAN, NAN, 30.0]),
    }
    found = summarise(values, MEASURES)
    assert {name: found[name].mean for name in found if name.startswith("domains")} == {
        "domains": pytest.approx(55),
        "domains.ece": pytest.approx(7),
        "domains.worst": 30,
    }

"""Intervals and effect sizes: what they are over, that they come out again, how far they reach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from make_records import TITLES, make_record, store_values, write_done, write_stopped
from scipy.stats import bootstrap, trim_mean

from fplbench.records.record import Metric
from fplbench.records.results import load_clients, load_results
from fplbench.records.store import Store
from fplbench.report import intervals as module
from fplbench.report.entries import Entry
from fplbench.report.groups import split
from fplbench.report.intervals import intervals
from fplbench.report.layout import Layout
from fplbench.report.tables import write_tables


def tables(root: Path) -> dict[str, Layout]:
    groups = split(load_results(root), TITLES)
    found = [table for group in groups for table in intervals(group, load_clients(root))]
    return {table.name: table for table in found}


def row(table: Layout, label: str) -> dict[str, Entry]:
    (entries,) = [one.entries for one in table.rows if one.label == label]
    return dict(zip(table.quantities, entries, strict=True))


def test_a_row_has_its_intervals_and_its_distance_to_the_best(tmp_path: Path) -> None:
    values = {"zeroshot": [60.0] * 4, "coop": [70.0, 73.0, 71.0, 72.0]}
    store_values(tmp_path, values)
    table = tables(tmp_path)["personal-digits-intervals"]
    best, other = row(table, "Local, CoOp (local)"), row(table, "Local, CLIP zero-shot")
    assert (best["mean"].text, best["to_best"].text) == ("71.5", "best")
    low, high = best["over_seeds"].low, best["over_seeds"].high
    assert low is not None
    assert high is not None
    assert 70 < low < 71.5 < high < 73
    assert (other["to_best"].mean, other["over_seeds"].text) == (-11.5, "60.0 to 60.0")
    assert 0 < (other["p"].mean or 0.0) < 0.001
    assert other["p"].text == "< 0.001"
    assert other["over_clients"].text == "n/a"  # these records have no number of a client


def test_clients_are_drawn_within_their_seed(tmp_path: Path) -> None:
    """Seeds far apart, clients of a seed all alike: nothing is left to draw."""
    for seed, value in enumerate((60.0, 90.0)):
        metrics = {"local": Metric(mean=value, per_client=[value] * 10)}
        write_done(
            Store(tmp_path), make_record("coop", "digits", "personal", seed, metrics=metrics)
        )
    one = row(tables(tmp_path)["personal-digits-intervals"], "Local, CoOp (local)")
    assert (one["over_clients"].low, one["over_clients"].high) == (75.0, 75.0)
    assert one["over_seeds"].text == "60.0 to 90.0"


def test_over_data_sets_there_are_iqm_and_probability_of_improvement(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for place, data in enumerate(("digits", "shapes")):
        for seed in range(4):
            for method, value in (("coop", 70.0), ("promptfl", 70.0 + 10 * place)):
                number = value + seed + (30 if (method, seed, place) == ("coop", 3, 0) else 0)
                metrics = {"local": Metric(mean=number)}
                write_done(store, make_record(method, data, "personal", seed, metrics=metrics))
    table = tables(tmp_path)["personal-all-intervals"]
    coop, best = row(table, "Local, CoOp (local)"), row(table, "Local, PromptFL")
    assert best["best_improves"].text == "best"
    # coop: 70 71 72 103 and 70 71 72 73; the middle half is 71 71 72 72.
    assert coop["iqm"].mean == pytest.approx(71.5)
    # On digits 70 71 72 73 against 70 71 72 103: 3 ties and 6 of 16 higher; on shapes all.
    assert coop["best_improves"].mean == pytest.approx(((3 / 2 + 6) / 16 + 1) / 2)
    assert coop["iqm"].low is not None


def test_a_method_that_lost_a_seed_is_compared_with_none(tmp_path: Path) -> None:
    store = store_values(tmp_path, {"coop": [70.0, 71.0, 73.0], "promptfl": [60.0, 61.0, 60.5]})
    for seed in range(3):
        record = make_record("fedotp", "digits", "personal", seed)
        (write_stopped if seed == 0 else write_done)(store, record)
    one = row(tables(tmp_path)["personal-digits-intervals"], "Local, FedOTP")
    assert (one["mean"].fewer, one["to_best"].text, one["p"].text) == (True, "not ranked", "")


def test_one_seed_has_the_interval_over_its_clients_alone(tmp_path: Path) -> None:
    """And a method without a number has no row."""
    metrics = {"local": Metric(mean=70.0, per_client=[60.0, 80.0] * 5)}
    store = Store(tmp_path)
    write_done(store, make_record("coop", "digits", "personal", 0, metrics=metrics))
    write_stopped(store, make_record("fedotp", "digits", "personal", 0))
    (only,) = tables(tmp_path)["personal-digits-intervals"].rows
    texts = [entry.text for entry in only.entries]
    assert (texts[0], texts[1], texts[3:]) == ("70.0", "one seed", ["not ranked", ""])
    assert only.entries[2].low == pytest.approx(64, abs=1)


def test_they_come_out_again_and_are_written(comparison: Path, tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        out = tmp_path / name
        results, clients = load_results(comparison), load_clients(comparison)
        files = write_tables(results, out, TITLES, clients=clients)
        assert out / "base2novel-shapes-intervals.tex" in files
        texts.append([path.read_text() for path in files])
    assert texts[0] == texts[1]
    table = pd.read_csv(tmp_path / "one" / "tables.csv")
    mine = table[
        (table["table"] == "base2novel-shapes-intervals") & (table["row"] == "Local, FedPGP")
    ]
    (clients_row,) = [one for _, one in mine.iterrows() if one["quantity"] == "over_clients"]
    assert clients_row["low"] < float(mine["mean"].iloc[0]) < clients_row["high"]


def test_of_few_seeds_a_bootstrap_is_too_narrow() -> None:
    """What docs/reading-a-report.md says of it; `-s` prints the shares."""
    rng, covered = np.random.default_rng(0), {}
    for seeds in (3, 5, 8):
        values = rng.normal(size=(2000, seeds))
        found = bootstrap(
            (values,), np.mean, axis=1, n_resamples=1000, method="percentile", random_state=rng
        ).confidence_interval
        covered[seeds] = float(((found.low <= 0) & (found.high >= 0)).mean())
    print(f"\n95 % intervals that hold the true mean: {covered}")
    assert covered[3] == pytest.approx(0.75, abs=0.05)
    assert covered[8] == pytest.approx(0.90, abs=0.03)


@pytest.mark.parametrize("sizes", [[2], [8], [10, 10, 10], [2, 7, 31]])
def test_the_bootstrap_is_scipys(sizes: list[int]) -> None:
    noise = np.random.default_rng(7)
    samples = [noise.normal(60, 5, size) for size in sizes]
    theirs = bootstrap(
        samples,
        module._mean_of_means,
        n_resamples=module.RESAMPLES,
        vectorized=True,
        confidence_level=0.95,
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    ours = module._bootstrap(samples, module._mean_of_means)
    np.testing.assert_allclose(ours, theirs, rtol=1e-14)


@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (8, 5), (7, 8, 3)])
def test_the_mean_of_the_middle_half_is_scipys(shape: tuple[int, ...]) -> None:
    scores = np.random.default_rng(3).normal(size=shape)
    flat = scores.reshape(*shape[:-2], -1)
    np.testing.assert_allclose(module._iqm(scores), trim_mean(flat, 0.25, axis=-1), rtol=1e-13)


def test_a_long_table_is_one_for_each_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_values(tmp_path, {"zeroshot": [60.0] * 3, "coop": [70.0, 73.0, 71.0]})
    whole = tables(tmp_path)
    monkeypatch.setattr(module, "LONGEST", 1)
    cut = tables(tmp_path)
    assert list(whole) == ["personal-digits-intervals"]
    assert "personal-digits-local-intervals" in cut
    assert [row.label for table in cut.values() for row in table.rows] == [
        row.label for row in whole["personal-digits-intervals"].rows
    ]


def test_numbers_that_were_run_are_not_said_to_be_missing(tmp_path: Path) -> None:
    store_values(tmp_path, {"zeroshot": [60.0], "coop": [70.0]})
    table = tables(tmp_path)["personal-digits-intervals"]
    found = row(table, "Local, CoOp (local)")
    assert (found["over_seeds"].text, found["to_best"].text) == ("one seed", "not ranked")
    assert not any(note.startswith("--") for note in table.notes)

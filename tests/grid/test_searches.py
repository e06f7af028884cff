"""`tune --search tpe`: later draws look at the earlier ones, and come out again."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import call
from hypothesis import given
from hypothesis import strategies as st

from fplbench.errors import UserError
from fplbench.grid import searches, spaces, tune
from fplbench.grid.searches import Search
from fplbench.records.store import Store

RATE = spaces.Space(low=1e-4, high=1, log=True, source="a test")
RANK = spaces.Space(values=(1, 2, 4, 8), source="a test")
SPACES = {"lr": RATE, "rank": RANK}


@given(st.sampled_from(Search), st.integers(1, 100))
def test_every_draw_is_in_one_batch_and_in_order(search: Search, budget: int) -> None:
    batches = search.batches(budget)
    assert [number for batch in batches for number in batch] == list(range(budget))
    assert all(batches)
    if search is Search.random:
        assert len(batches) == 1


def past(best: float, draws: int = 20) -> list[tuple[dict[str, float], float | None]]:
    """Draws at random; the nearer a rate is to `best` in its logarithm, the better."""
    found: list[tuple[dict[str, float], float | None]] = []
    for number in range(draws):
        generator = np.random.default_rng(number)
        lr, rank = float(RATE.draw(generator)), float(RANK.draw(generator))
        found.append(({"lr": lr, "rank": rank}, -abs(math.log10(lr / best))))
    return found


@pytest.mark.parametrize("best", [1e-3, 1e-1])
def test_draws_come_from_where_the_good_ones_were(best: float) -> None:
    near = [searches.proposed(SPACES, past(best), seed) for seed in range(20)]
    off = [abs(math.log10(one["lr"] / best)) for one in near]
    at_random = [-score for _, score in past(best) if score is not None]
    assert np.mean(off) < np.mean(at_random) / 2
    for one in near:
        assert set(one) == {"lr", "rank"}
        assert one["rank"] in RANK.values
        assert one["lr"] == float(f"{one['lr']:.3g}")
        assert 1e-4 <= one["lr"] <= 1


def test_a_draw_that_diverged_is_worse_than_all_others() -> None:
    """Else a search would go back to where numbers end."""
    high = [(settings, None if settings["lr"] > 1e-2 else score) for settings, score in past(1.0)]
    drawn = [searches.proposed(SPACES, high, seed)["lr"] for seed in range(20)]
    told = [searches.proposed(SPACES, past(1.0), seed)["lr"] for seed in range(20)]
    assert np.median(drawn) < 1e-2 < np.median(told)


def test_the_same_past_and_seed_make_the_same_draw() -> None:
    each = [searches.proposed(SPACES, past(1e-2), seed) for seed in (1, 2, 1, 2**40)]
    assert each[0] == each[2] != each[1]
    assert searches.seed_of(0, "fedpgp", 11) != searches.seed_of(0, "fedpgp", 12)
    assert searches.seed_of(0, "fedpgp", 11) != searches.seed_of(0, "promptfl", 11)


def test_defaults_outside_a_plug_in_s_space_say_nothing() -> None:
    outside = [({"lr": 5.0, "rank": 1}, 99.0), ({"lr": 0.1, "rank": 3}, 99.0), *past(1e-3)]
    assert searches.proposed(SPACES, outside, 3) == searches.proposed(SPACES, past(1e-3), 3)


def test_nothing_to_search_is_nothing_drawn() -> None:
    assert searches.proposed({}, [({}, 1.0), ({}, 2.0)], 0) == {}


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"pip install 'fplbench\[optuna\]'"):
        searches.require_optuna()


Run = Callable[..., tuple[int | str | None, str, str]]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Run]:
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(searches, "AT_RANDOM", 2)
    monkeypatch.setattr(searches, "AT_ONCE", 1)
    yield lambda *words: call([*words], monkeypatch, capsys)
    torch.set_num_threads(1)


def test_a_search_that_was_cut_short_goes_on_as_if_it_had_not(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "tune"
    words = [
        *["tune", "--methods", "promptfl", "--datasets", "digits", "--clients", "2"],
        *["--shots", "2", "--rounds", "1", "--local-epochs", "1", "--threads", "1"],
        *["--tune-seeds", "7", "--search", "tpe"],
    ]
    more = [*words, "--out", str(out), "--budget"]
    code, said, _ = run(*more, "4", "--dry-run")
    assert code == 0
    assert "2 cells: 2 to run" in said
    assert "2 more draws of each method are proposed from these." in said
    code, said, err = run(*more, "3")
    assert (code, err) == (0, "")
    assert "3 cells done" in said
    three = {record.id for record in Store(out).records()}
    code, said, _ = run(*more, "4")
    assert "1 cell done, 3 were done before" in said
    four = {record.id for record in Store(out).records()}
    assert three < four
    assert "TPE (optuna" in tune.read(out / tune.NAME).rule
    assert "4 cells: 0 to run" in run(*more, "4", "--dry-run")[1]

    whole = tmp_path / "whole"
    assert run(*words, "--out", str(whole), "--budget", "4")[0] == 0
    assert {record.id for record in Store(whole).records()} == four


def test_a_budget_that_leaves_it_nothing_is_refused(tmp_path: Path, run: Run) -> None:
    words = ["tune", "--methods", "promptfl", "--datasets", "digits", "--out", str(tmp_path)]
    code, _, err = run(*words, "--search", "tpe", "--budget", "2")
    assert code == 2
    assert "leaves nothing for it: give 3 or more" in err

"""What a strategy says of a run stands below tables, in a plot of its own and on the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import call
from make_records import make_record, write_done

from fplbench.plugins.base import Fact
from fplbench.records.store import Store

TRUSTED = "The server is <trusted>."


def private(epsilon: float, seed: int, spent: float) -> dict[str, object]:
    return {
        "strategy": "dp-mine",
        "strategy_settings": {"epsilon": epsilon},
        "changed": ["set.strategy", "set.dp-mine.epsilon"],
        "seed": seed,
        "facts": {
            "epsilon": Fact(title="epsilon", value=spent, axis=True),
            "accountant": Fact(title="accountant", value="mine 1.0", meaning=TRUSTED),
        },
    }


@pytest.fixture
def results(tmp_path: Path) -> Path:
    store = Store(tmp_path)
    for seed in (0, 1):
        write_done(store, make_record("promptfl", scenario="personal", seed=seed))
        for epsilon, spent in ((1.0, 0.9), (8.0, 7.9995)):
            cell = private(epsilon, seed, spent + 0.05 * seed * (epsilon == 1.0))
            write_done(store, make_record("promptfl", scenario="personal", **cell))
    return tmp_path


def test_facts_are_notes_with_the_range_of_the_seeds(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["tables", str(results)], monkeypatch, capsys)[0] == 0
    text = (results / "tables" / "tables.md").read_text()
    one = "promptfl (strategy=dp-mine, dp-mine.epsilon=1)"
    eight = "promptfl (strategy=dp-mine, dp-mine.epsilon=8)"
    assert f"{one}: epsilon 0.9 to 0.95; accountant mine 1.0." in text
    assert f"{eight}: epsilon 8; accountant mine 1.0." in text
    assert text.count("The server is") == 1  # said once of both
    page = results / "report.html"
    assert call(["report", str(results)], monkeypatch, capsys)[0] == 0
    assert "mine 1.0. The server is \\u003ctrusted\\u003e." in page.read_text()


def test_a_fact_that_is_a_number_is_an_axis(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["plots", str(results)], monkeypatch, capsys)[0] == 0
    names = {path.name for path in (results / "plots").glob("*-over-epsilon.*")}
    assert names == {f"personal-over-epsilon.{end}" for end in ("pdf", "png", "csv")}

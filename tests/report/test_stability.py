"""Moved starts stand in no table; their spread stands beside the seeds'."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import call
from make_records import TITLES, make_record, write_done
from rich.console import Console

from fplbench.records.record import Metric
from fplbench.records.results import load_clients, load_history, load_results, read_cells
from fplbench.records.store import Store
from fplbench.report import stability
from fplbench.report import write as reporting
from fplbench.report.page import write_page
from fplbench.report.pivot import Pivot, pivot
from fplbench.report.tables import layouts


def moved_and_drawn(root: Path) -> None:
    """PromptFL with two moved starts of each of three seeds, CoOp with none; zero-shot CLIP."""
    store = Store(root)
    for method, sd in (("zeroshot", 0.0), ("promptfl", 1.0), ("coop", 1.0)):
        for seed in range(3):
            drawn = make_record(method, "digits", "personal", seed)
            for nudge in range(3 if method == "promptfl" else 1):
                record = drawn.model_copy(
                    update={
                        "id": f"{drawn.id}-{nudge}",
                        "training": {**drawn.training, "nudge": nudge},
                        "hardware": {"threads": 1 + nudge // 2},
                        "metrics": {
                            # Ranges 0.8, 0.8, 0.8; means over seeds 70, 70.4, 69.6.
                            "local": Metric(mean=70 + sd * (seed - 1) + (0, 0.4, -0.4)[nudge]),
                            # Ranges 0.1, and the mean does not move.
                            "global": Metric(mean=50 + seed + 0.1 * (nudge == seed)),
                        },
                    }
                )
                write_done(store, record)


def test_moved_starts_are_no_results(tmp_path: Path) -> None:
    moved_and_drawn(tmp_path)
    table = load_results(tmp_path)
    assert table["id"].nunique() == 9
    assert set(table["train.nudge"]) == {0}
    assert load_history(tmp_path)["id"].nunique() == 9
    assert set(load_clients(tmp_path)["id"]) <= set(table["id"])
    every = load_results(tmp_path, moved=True)
    assert sorted(every.drop_duplicates("id")["train.nudge"]) == [0] * 9 + [1] * 3 + [2] * 3
    local = table[table["metric"] == "local"].set_index("method")["std_starts"]
    assert local["promptfl"].tolist() == pytest.approx([0.4] * 3)
    assert local["coop"].isna().all()


def test_no_table_and_no_page_counts_a_moved_start(tmp_path: Path) -> None:
    moved_and_drawn(tmp_path)
    (layout,) = [x for x in layouts(load_results(tmp_path), TITLES) if x.kind == "headline"]
    (row,) = [row for row in layout.rows if row.label == "PromptFL"]
    assert (row.entries[0].text, row.entries[0].spread, row.entries[0].seeds) == ("70.0", "1.0", 3)
    own = pivot(load_results(tmp_path), TITLES, Pivot(("method",), ("dataset",), ("local",), {}))
    assert {entry.seeds for row in own.rows for entry in row.entries} == {3}
    page = write_page(*read_cells(tmp_path), tmp_path / "r.html", TITLES).read_text()
    ids = [path.parent.name for path in tmp_path.glob("promptfl*/record.json")]
    assert len(ids) == 9
    assert sum(id in page for id in ids) == 3


def test_tables_say_where_rounding_was_not_tested_and_where_it_is_far(tmp_path: Path) -> None:
    moved_and_drawn(tmp_path)
    (layout,) = [x for x in layouts(load_results(tmp_path), TITLES) if x.kind == "headline"]
    said = [note for note in layout.notes if "ounding" in note]
    assert said == [
        "Rounding was never tested for CoOp (local) (fplbench stability).",
        "Rounding alone moves a seed's number by more than a third of the standard deviation over "
        "seeds: PromptFL, Local: 0.4 of 1.0.",
    ]


def test_without_any_moved_start_one_short_sentence_says_so(comparison: Path) -> None:
    for layout in layouts(load_results(comparison), TITLES):
        said = [note for note in layout.notes if "ounding" in note]
        untested = ["Rounding was never tested (fplbench stability)."]
        assert said == ([] if layout.kind in ("cost", "rank") else untested)


def test_ranges_are_over_starts_and_of_the_mean_over_seeds(tmp_path: Path) -> None:
    moved_and_drawn(tmp_path)
    found, problems = read_cells(tmp_path)
    assert not problems
    records = [record for _, record in found]
    ((group, data, spreads),) = stability.every(load_results(tmp_path), records, TITLES)
    assert [(one.row, one.metric) for one in spreads] == [
        ("PromptFL", "local"),
        ("PromptFL", "global"),
    ]
    local, everywhere = spreads
    assert (local.seeds, local.starts) == ((0, 1, 2), (0, 1, 2))
    assert local.ranges == pytest.approx((0.8, 0.8, 0.8))
    assert local.means == pytest.approx(0.8)
    assert (local.ours.std_starts, local.ours.std) == pytest.approx((0.4, 1.0))
    assert everywhere.ranges == pytest.approx((0.1, 0.1, 0.1))
    assert everywhere.means == pytest.approx(0.0, abs=1e-9)
    assert stability.threads(group, data, records) == "1 (as drawn), 1 (moved 1), 2 (moved 2)"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--methods", "zeroshot"], "Nothing under"),
        (["--seeds", "7"], "Nothing under"),
        (["--seeds", "one"], "--seeds one"),
    ],
)
def test_what_cannot_be_repeated_is_one_sentence(
    more: list[str],
    said: str,
    comparison: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = call(["stability", str(comparison), *more], monkeypatch, capsys)
    assert (code, said in err, len(err.strip().splitlines())) == (2, True, 1)


def test_moved_starts_alone_make_no_table_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = make_record("promptfl", "digits", "personal")
    moved = drawn.model_copy(update={"training": {**drawn.training, "nudge": 1}})
    write_done(Store(tmp_path), moved)
    console, said = Console(width=200), "Moved starts stand in no table"
    reporting.show(tmp_path, [moved.id], console, console)
    assert capsys.readouterr().out.startswith(said)
    for command in ("tables", "plots", "report"):
        code, _, err = call([command, str(tmp_path)], monkeypatch, capsys)
        assert (code, "stand in no table" in err) == (2, True)

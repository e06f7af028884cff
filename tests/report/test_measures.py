"""Measures beside accuracy: records tell reports how they are called and which way is best."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from command_line import call
from make_records import TITLES, make_record, write_done

from fplbench.records import packed
from fplbench.records.record import Metric, Record, Scale
from fplbench.records.results import load_clients, load_results, read_cells
from fplbench.records.store import Store
from fplbench.report.beside import compare
from fplbench.report.layout import Layout
from fplbench.report.page import write_page
from fplbench.report.plots import write_plots
from fplbench.report.tables import layouts, write_tables

LOSS = Scale(
    title="loss of a test",
    short="Loss",
    unit="nats",
    meaning="how surprised a test is",
    lower_is_better=True,
    decimals=3,
)
GAIN = Scale(title="gain of a test", short="Gain", unit="", meaning="what a test is worth")
# Method -> accuracy, loss and gain: another one is best by each of them.
VALUES = {"coop": (80.0, 0.9, 5.0), "promptfl": (70.0, 0.2, 6.0), "fedpgp": (60.0, 0.5, 9.0)}
BEST = {"accuracy": "CoOp (local)", "loss": "PromptFL", "gain": "FedPGP"}


def measured(method: str, data: str, seed: int, **changes: Any) -> Record:
    wander = 0.001 * (seed - 1) * (1 + len(method) % 3)
    found = [
        {
            name: Metric(mean=value + wander, last5=value, per_client=[value, value + wander] * 5)
            for name in ("local", "global")
        }
        for value in VALUES[method]
    ]
    fields = {
        "metrics": found[0],
        "measures": {"loss": LOSS, "gain": GAIN},
        "measured": {"loss": found[1], "gain": found[2]},
    }
    return make_record(method, data, "personal", seed, **(fields | changes))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three methods, three data sets, three seeds."""
    folder = tmp_path_factory.mktemp("measured")
    for method in VALUES:
        for data in ("digits", "shapes", "shapes_domains"):
            for seed in range(3):
                write_done(Store(folder), measured(method, data, seed))
    return folder


def tables_of(root: Path, measure: str, kind: str) -> list[Layout]:
    every = layouts(load_results(root, measure=measure), TITLES)
    return [table for table in every if table.kind == kind]


@pytest.mark.parametrize("measure", list(BEST))
@pytest.mark.parametrize("kind", ["headline", "average", "rank"])
def test_the_better_one_is_marked_whichever_way_is_better(
    root: Path, measure: str, kind: str
) -> None:
    for table in tables_of(root, measure, kind):
        best = [row.label for row in table.rows if row.entries[0].mark]
        if kind == "rank":
            by_rank = sorted(table.rows, key=lambda row: row.entries[0].mean or 0)
            assert by_rank[0].label == BEST[measure]
        else:
            assert best == [BEST[measure]]


def test_a_table_says_what_its_numbers_are(root: Path) -> None:
    (table,) = tables_of(root, "loss", "average")
    assert table.caption.startswith("Mean loss of a test in nats after the last round")
    assert "Loss: loss of a test, how surprised a test is; lower is better." in table.notes
    assert {row.label: row.entries[0].text for row in table.rows}["PromptFL"] == "0.200"
    (table,) = tables_of(root, "gain", "rank")
    assert table.caption.startswith("Average rank by gain of a test after the last round")
    assert "Gain: gain of a test, what a test is worth." in table.notes


def test_what_else_was_measured_changes_no_default_table(root: Path, tmp_path: Path) -> None:
    for _, record in read_cells(root)[0]:
        write_done(
            Store(tmp_path / "r"), record.model_copy(update={"measures": {}, "measured": {}})
        )
    for place, out in ((root, "with"), (tmp_path / "r", "without")):
        write_tables(load_results(place), tmp_path / out, TITLES, clients=load_clients(place))
    files = [
        {f.name: f.read_bytes() for f in (tmp_path / d).iterdir()} for d in ("with", "without")
    ]
    assert files[0] == files[1]
    assert b"Loss" not in b"".join(files[0].values())


def test_records_from_before_a_measure_stand_beside_newer_ones(root: Path, tmp_path: Path) -> None:
    """One method's newest record on digits lacks it, and every record on shapes."""
    for _, record in read_cells(root)[0]:
        if record.dataset == "shapes_domains":
            continue
        if record.dataset == "shapes" or (record.method, record.seed) == ("coop", 2):
            record = record.model_copy(update={"measures": {}, "measured": {}})
        write_done(Store(tmp_path / "r"), record)
    every = layouts(load_results(tmp_path / "r", measure="loss"), TITLES)
    (table,) = [table for table in every if table.kind == "headline"]
    assert "Loss: loss of a test, how surprised a test is; lower is better." in table.notes
    assert {row.label: row.entries[0].text for row in table.rows}["PromptFL"] == "0.200"
    page = write_page(read_cells(tmp_path / "r")[0], [], tmp_path / "page.html", TITLES)
    assert "loss of a test" in page.read_text()


def test_the_difference_to_the_best_and_its_chance_follow_the_direction(root: Path) -> None:
    over = next(t for t in tables_of_intervals(root, "loss") if len(t.rows[0].entries) == 5)
    rows = {row.label: row.entries for row in over.rows}
    assert rows["Local, PromptFL"][3].text == "best"
    assert rows["Local, CoOp (local)"][3].mean == pytest.approx(0.7, abs=0.01)
    assert rows["Local, CoOp (local)"][2].mean == 1.0  # every seed of the best lies below
    assert any("lies below one of this method" in note for note in over.notes)


def tables_of_intervals(root: Path, measure: str) -> list[Layout]:
    from fplbench.report.groups import split
    from fplbench.report.intervals import intervals

    (group,) = split(load_results(root, measure=measure), TITLES)
    clients = load_clients(root, measure)
    return [table for table in intervals(group, clients) if "all" in table.name]


def test_the_command_shows_a_measure_and_mixes_them_in_a_table_of_ones_own(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = ["--out", str(tmp_path)]
    code, out, _ = call(["tables", str(root), "--measure", "loss", *where], monkeypatch, capsys)
    assert code == 0
    assert str(tmp_path / "tables-loss.md") in out
    assert "**0.200** ± 0.00" in (tmp_path / "tables-loss.md").read_text()
    own = ["--rows", "method", "--metric", "local,local.loss", "--where", "dataset=digits"]
    code, _, _ = call(["tables", str(root), *own, *where], monkeypatch, capsys)
    text = (tmp_path / "method-by-dataset-local-local-loss.md").read_text()
    assert code == 0
    assert "Accuracy in percent and loss of a test in nats after the last round" in text
    assert "digits Local Loss" in text
    assert len(re.findall(r"\*\*80\.0\*\*|\*\*0\.200\*\*", text)) == 2
    assert text.count("**") == 4
    late = ["--headline", "last5", "--measure", "loss"]
    code, _, _ = call(["tables", str(root), *late, *where], monkeypatch, capsys)
    assert code == 0
    text = (tmp_path / "tables-loss.md").read_text()
    assert "Loss of a test in nats as the mean over the last five rounds" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--measure", "brier"], "no record here has the measure brier; they have accuracy, loss"),
        (["--published", "--measure", "loss"], "--published is a table of its own"),
        (["--rows", "method", "--measure", "brier"], "no metric local.brier"),
    ],
)
def test_a_measure_that_no_record_has_is_refused(
    root: Path,
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = call(["tables", str(root), *arguments], monkeypatch, capsys)
    assert code == 2
    assert said.lower() in err.lower()


def test_a_record_without_the_measure_says_so_and_is_not_left_out(tmp_path: Path) -> None:
    write_done(Store(tmp_path), measured("promptfl", "digits", 1))
    write_done(Store(tmp_path), measured("coop", "digits", 1, measures={}, measured={}))
    (table,) = tables_of(tmp_path, "loss", "headline")
    entries = {row.label: row.entries[0].text for row in table.rows}
    assert entries == {"CoOp (local)": "n/a", "PromptFL": "0.200"}
    assert any("from before loss was measured, or without its plug-in" in n for n in table.notes)


def test_a_group_of_cells_from_before_a_measure_does_not_end_the_page(tmp_path: Path) -> None:
    """As in the committed reference, whose oldest cells have accuracy alone."""
    write_done(Store(tmp_path), measured("promptfl", "digits", 1))
    old = make_record("coop", "shapes", "base2novel", 1)
    write_done(Store(tmp_path), old)
    page = write_page(*read_cells(tmp_path), tmp_path / "r.html", TITLES).read_text()
    assert old.id in page
    named = {table.name: table for table in tables_of(tmp_path, "loss", "headline")}
    assert len(named) == 2
    entries = [row.entries[0].text for table in named.values() for row in table.rows]
    assert sorted(entries) == ["0.200", "n/a"]


def test_the_page_has_every_measure_and_its_direction(root: Path, tmp_path: Path) -> None:
    page = write_page(*read_cells(root), tmp_path / "r.html", TITLES).read_text()
    data = json.loads(re.search(r'id="data"[^>]*>(.*?)</script>', page, re.DOTALL)[1])
    (board,) = [board for board in data["boards"] if board["data"] == "digits"]
    columns = {column["key"]: (place, column) for place, column in enumerate(board["columns"])}
    place, loss = columns["local.loss"]
    assert loss == {
        "key": "local.loss",
        "title": "Local Loss",
        "kind": "more",
        "lower": True,
        "decimals": 3,
    }
    assert [columns[key][1]["lower"] for key in ("local", "local.gain", "seconds_round")] == [
        False,
        False,
        True,
    ]
    marked = [row["label"] for row in board["rows"] if row["entries"][place][-1]]
    assert marked == ["PromptFL"]
    assert "Loss: loss of a test, how surprised a test is; lower is better." in board["notes"]
    assert data["cells"][0]["measured"][0]["title"] == "Loss of a test (nats)"


def test_plots_of_a_measure_have_its_name(tmp_path: Path) -> None:
    for method in ("coop", "promptfl"):
        write_done(Store(tmp_path / "r"), measured(method, "digits", 0))
    names = {path.name for path in write_plots(tmp_path / "r", tmp_path / "p", TITLES, "loss")}
    assert {f"personal-loss-{kind}.pdf" for kind in ("tradeoff", "clients", "cost")} <= names
    assert all("loss" in name for name in names)


def test_papers_numbers_stand_beside_accuracies_alone(root: Path) -> None:
    assert compare(load_results(root, measure="gain"), TITLES).pairs == []


def test_a_packed_file_keeps_the_measures(root: Path, tmp_path: Path) -> None:
    records = [record for _, record in read_cells(root)[0]]
    file = packed.write(records, tmp_path / "all.jsonl")
    for measure in ("accuracy", "loss"):
        ours, theirs = load_results(root, measure=measure), load_results(file, measure=measure)
        assert sorted(theirs["value"]) == pytest.approx(sorted(ours["value"].round(3)), abs=6e-4)
    assert load_clients(file, "loss").empty
    assert json.loads(file.read_text().splitlines()[0])["shared"]["measures"]["loss"]["short"]

"""The reference beside a user's cells: in the same tables, marked, and only where it belongs."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import call
from make_records import TITLES, make_record, write_done

from fplbench.errors import UserError
from fplbench.records import packed
from fplbench.records.record import Metric, Record
from fplbench.records.results import read_cells, results_of
from fplbench.records.store import Store
from fplbench.report import reference
from fplbench.report.groups import split
from fplbench.report.tables import layouts


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """A reference of three methods with four seeds, in two settings."""
    records = [
        make_record(method, "shapes", scenario, seed)
        for method in ("zeroshot", "coop", "promptfl")
        for scenario in ("base2novel", "personal")
        for seed in range(4)
    ]
    file = packed.write(records, tmp_path / "reference" / "embedded.jsonl")
    monkeypatch.setattr(reference, "FILE", file)
    return [record for _, record in read_cells(file)[0]]


def moved(record: Record, points: float) -> Record:
    local = record.metrics["local"]
    return record.model_copy(
        update={
            "id": f"{record.id}-mine",
            "metrics": record.metrics
            | {"local": local.model_copy(update={"mean": local.mean + points})},
        }
    )


def lay_out(root: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Table -> its rows' labels, and the notes of the first."""
    _, table = reference.beside(read_cells(root)[0], reference.read()[0])
    tables = layouts(table, TITLES)
    return {one.name: [row.label for row in one.rows] for one in tables}, tables[0].notes


def test_a_new_method_stands_among_the_references_of_its_setting_and_seeds(
    ours: list[Record], tmp_path: Path
) -> None:
    store = Store(tmp_path / "runs")
    for seed in (0, 2):
        write_done(store, make_record("fedpgp", "shapes", "base2novel", seed))
    rows, notes = lay_out(store.root)
    assert rows["base2novel"] == ["CLIP zero-shot ‡", "CoOp (local) ‡", "PromptFL ‡", "FedPGP"]
    assert not [name for name in rows if name.startswith("personal")]
    assert any(note.startswith("‡: from the reference results") for note in notes)
    found, table = reference.beside(read_cells(store.root)[0], ours_found(ours))
    assert {record.seed for _, record in found} == {0, 2}
    (group,) = split(table, TITLES)
    assert group.seeds("shapes") == [0, 2]


def ours_found(records: list[Record]) -> list[tuple[Path, Record]]:
    return [(reference.FILE, record) for record in records]


def test_a_cell_that_both_have_is_the_users_and_agreement_is_said(
    ours: list[Record], tmp_path: Path
) -> None:
    store = Store(tmp_path / "runs")
    mine = [r for r in ours if r.method == "promptfl" and r.scenario == "personal"]
    for record in mine[:2]:
        write_done(store, moved(record, 0.25))
    rows, notes = lay_out(store.root)
    assert rows["personal"] == ["CLIP zero-shot ‡", "CoOp (local) ‡", "PromptFL"]
    found, table = reference.beside(read_cells(store.root)[0], ours_found(ours))
    once = [record for _, record in found if record.method == "promptfl"]
    assert sorted(record.id for record in once) == sorted(f"{r.id}-mine" for r in mine[:2])
    said = "2 of the cells run here are in the reference too and agree with it within 0.25 points."
    assert said in notes
    assert len(table[table["apart"].notna()]["id"].unique()) == 2


def test_a_difference_beyond_rounding_is_said_with_both_numbers(
    ours: list[Record], tmp_path: Path
) -> None:
    store = Store(tmp_path / "runs")
    mine = [r for r in ours if r.method == "coop" and r.scenario == "base2novel"]
    write_done(store, moved(mine[0], 0.1))
    write_done(store, moved(mine[1], -2.5))
    _, notes = lay_out(store.root)
    here, there = mine[1].metrics["local"].mean - 2.5, mine[1].metrics["local"].mean
    assert (
        "Of 2 cells that are in the reference too, 1 lies more than 0.5 points from it, which is "
        "more than another machine's rounding should move: CoOp (local) on shapes, seed 1 "
        f"(Local {here:.2f}, reference {there:.2f})."
    ) in notes


def test_a_cell_that_failed_here_is_no_number_of_the_references(
    ours: list[Record], tmp_path: Path
) -> None:
    store = Store(tmp_path / "runs")
    record = next(r for r in ours if r.method == "coop")
    write_done(store, record.model_copy(update={"status": "diverged", "metrics": {}}))
    found, _ = reference.beside(read_cells(store.root)[0], ours_found(ours))
    assert [r.status for _, r in found if r.method == "coop"] == ["diverged"]
    assert "(diverged here, done in the reference)" in " ".join(lay_out(store.root)[1])


def test_a_row_of_own_and_reference_cells_says_whose_each_is(
    ours: list[Record], tmp_path: Path
) -> None:
    store = Store(tmp_path / "runs")
    write_done(store, next(r for r in ours if (r.method, r.seed) == ("coop", 1)))
    write_done(store, make_record("fedpgp", "shapes", "base2novel", 3))
    rows, notes = lay_out(store.root)
    assert "CoOp (local)" in rows["base2novel"]
    assert "CoOp (local): some cells are the reference's (seed 3)." in notes


def test_another_version_of_a_method_is_a_row_beside_the_references(
    ours: list[Record], tmp_path: Path
) -> None:
    store = Store(tmp_path / "runs")
    write_done(store, make_record("coop", identity={"method": "changed"}))
    rows, _ = lay_out(store.root)
    assert [row for row in rows["base2novel"] if "CoOp" in row] == [
        "CoOp (local) (method not recorded) ‡",
        "CoOp (local) (method=changed)",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training": {"rounds": 3}}, "rounds (3, reference 10)"),
        ({"protocol": 1}, "protocol (1, reference 2)"),
        ({"identity": {"weights": "others"}}, "weights (others, reference none)"),
        ({"seed": 9}, "seed (9, reference 0)"),
    ],
)
def test_cells_without_a_reference_are_told_what_differs(
    ours: list[Record], tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    store = Store(tmp_path / "runs")
    record = make_record()
    if "training" in changes:
        changes = {"training": record.training | {"rounds": 3}}
    write_done(store, make_record(**changes))
    with pytest.raises(UserError) as refused:
        lay_out(store.root)
    assert said in str(refused.value)


def test_another_data_set_is_told_what_the_reference_has(
    ours: list[Record], tmp_path: Path
) -> None:
    store = Store(tmp_path / "runs")
    write_done(store, make_record(dataset="digits"))
    with pytest.raises(UserError) as refused:
        lay_out(store.root)
    assert str(refused.value) == (
        "The reference has no cell of digits (base2novel); it has shapes (base2novel), shapes "
        "(personal)."
    )


def test_the_commands_write_tables_and_a_page_with_the_reference(
    ours: list[Record],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = Store(tmp_path / "runs")
    metrics = {name: Metric(mean=70.0) for name in ("local", "base", "novel")}
    new = {"method": "mine", "title": "Mine", "id": "mine-s0", "metrics": metrics}
    write_done(store, make_record().model_copy(update=new))
    for command in ("tables", "report"):
        assert call([command, str(store.root), "--reference"], monkeypatch, capsys)[0] == 0
    table = (store.root / "tables" / "tables.md").read_text()
    assert "| coop ‡ |" in table
    assert "| Mine |" in table
    assert r"coop $\ddagger$" in (store.root / "tables" / "base2novel.tex").read_text()
    page = (store.root / "report.html").read_text()
    assert '"label":"coop ‡"' in page
    assert call(["report", str(store.root)], monkeypatch, capsys)[0] == 0
    assert "‡" not in (store.root / "report.html").read_text()
    asked = ["tables", str(store.root), "--reference", "--rows", "method"]
    code, _, err = call(asked, monkeypatch, capsys)
    assert (code, "leave --rows out" in err) == (2, True)


def test_without_the_file_it_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_done(Store(tmp_path), make_record())
    monkeypatch.setattr(reference, "FILE", tmp_path / "nowhere.jsonl")
    code, _, err = call(["report", str(tmp_path), "--reference"], monkeypatch, capsys)
    assert (code, "no reference results" in err) == (2, True)
    assert len(err.strip().splitlines()) == 1


def test_the_tables_of_the_reference_alone_have_no_signs(ours: list[Record]) -> None:
    for layout in layouts(results_of(ours_found(ours), []), TITLES):
        assert not any("‡" in row.label for row in layout.rows)

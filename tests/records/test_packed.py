"""Many records in one file: read wherever a folder of cells is, damage named by its line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from command_line import call
from make_records import make_record, write_done, write_stopped

from fplbench import load_clients, load_history, load_results
from fplbench.errors import UserError
from fplbench.records import packed
from fplbench.records.record import SCHEMA, Record
from fplbench.records.results import DamagedRecordWarning, read_cells
from fplbench.records.store import Store
from fplbench.report.plots import write_plots


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two scenarios, two methods, and a cell that diverged."""
    store = Store(tmp_path / "runs")
    for method in ("promptfl", "zeroshot"):
        write_done(store, make_record(method))
        write_done(store, make_record(method, "shapes_domains", "domains", notes=["a\u2028b"]))
    write_stopped(store, make_record("fedpgp"))
    return store


@pytest.fixture
def file(store: Store, tmp_path: Path) -> Path:
    records = [record for _, record in read_cells(store.root)[0]]
    return packed.write(records, tmp_path / "published" / "all.jsonl")


def test_tables_of_a_packed_file_are_those_of_its_folder(store: Store, file: Path) -> None:
    for path in (file, file.parent):
        for load, key in ((load_results, ["id", "metric"]), (load_clients, ["id", "client"])):
            before, now = (
                load(p)
                .sort_values([*key, "metric"])
                .reset_index(drop=True)
                .drop(columns="path", errors="ignore")
                for p in (store.root, path)
            )
            assert len(now) == len(before) > 5
            pd.testing.assert_frame_equal(
                now, before[now.columns], check_dtype=False, rtol=0, atol=0.006
            )
    assert set(load_results(file)["path"]) == {str(file)}
    assert load_history(file).empty


def test_settings_and_identities_come_back_as_they_were(store: Store, file: Path) -> None:
    before = {record.id: record for _, record in read_cells(store.root)[0]}
    for _, record in read_cells(file)[0]:
        was = before[record.id]
        for name in ("settings", "training", "scenario_settings", "identity", "changed", "notes"):
            assert getattr(record, name) == getattr(was, name)
        assert (record.status, record.seed) == (was.status, was.seed)


def test_packing_twice_gives_the_same_bytes(file: Path, tmp_path: Path) -> None:
    again = packed.write([record for _, record in read_cells(file)[0]], tmp_path / "b.jsonl")
    assert again.read_bytes() == file.read_bytes()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("place", "becomes", "said"),
    [
        (2, "<<<<<<< HEAD", "line 2, is damaged (no JSON of a cell"),
        (3, '{"id": 5}', "line 3, is damaged (id: "),
        (3, "[1]", "line 3, is damaged (no JSON of a cell"),
        (2, None, "line 1, is damaged (it counts 5 cells and 4 follow)"),
        (1, '{"packed":1,"cel', "line 1, is damaged (no JSON of packed records"),
        (1, '{"packed":7}', "line 1, is damaged (its format is 7, not 1)"),
    ],
)
def test_a_damaged_line_is_named_and_the_others_are_there(
    file: Path, place: int, becomes: str | None, said: str
) -> None:
    lines = file.read_text().split("\n")
    lines[place - 1 : place] = [] if becomes is None else [becomes]
    file.write_text("\n".join(lines))
    with pytest.warns(DamagedRecordWarning):
        table = load_results(file)
    assert said in table.attrs["problems"][0]
    assert str(file) in table.attrs["problems"][0]
    assert table["id"].nunique() == (0 if place == 1 else 4)


def test_a_compressed_file_is_the_same_and_its_damage_is_named(file: Path, tmp_path: Path) -> None:
    records = [record for _, record in read_cells(file)[0]]
    small = packed.write(records, tmp_path / "small" / "all.jsonl.gz")
    assert packed.read(small) == packed.read(file)
    assert small.stat().st_size < file.stat().st_size / 2
    data = small.read_bytes()
    assert packed.write(records, small).read_bytes() == data
    assert set(load_results(small.parent)["id"]) == {record.id for record in records}
    for torn in (data[:5], data[: len(data) // 2], data[:-1], data[:40] + b"x" + data[41:]):
        small.write_bytes(torn)
        for place in (small, small.parent):
            (problem,) = read_cells(place)[1]
            assert "cannot be unpacked" in problem.message


def test_a_schema_of_the_future_is_refused_by_name(file: Path) -> None:
    file.write_text(file.read_text().replace(f'"schema":{SCHEMA}', '"schema":9'))
    assert "its schema is 9" in read_cells(file)[1][0].message


def test_a_packed_file_further_down_does_not_mix_with_ones_own_cells(
    store: Store, file: Path
) -> None:
    shutil.copytree(file.parent, store.root.parent / "mine" / "reference")
    write_done(Store(store.root.parent / "mine" / "runs"), make_record("coop"))
    assert set(load_results(store.root.parent / "mine")["method"]) == {"coop"}


def test_a_file_that_is_none_of_ours_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text('{"round": 1}\n')
    assert load_results(tmp_path).empty
    with pytest.raises(UserError, match="no file of packed records"):
        load_results(tmp_path / "other.jsonl")


def test_the_command_packs_a_folder_and_tables_read_it(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "mine.jsonl"
    for _ in range(2):
        code, out, _ = call(["pack", str(store.root), str(file)], monkeypatch, capsys)
        assert (code, out.startswith("5 cells")) == (0, True)
    code, out, _ = call(["show", str(file)], monkeypatch, capsys)
    assert (code, "promptfl-shapes-base2novel" in out) == (0, True)
    for command, made in (("tables", "tables"), ("report", "report.html")):
        assert call([command, str(file)], monkeypatch, capsys)[0] == 0
        assert (tmp_path / made).exists()


def test_plots_are_drawn_of_what_a_packed_file_has(tmp_path: Path) -> None:
    file = packed.write([make_record("zeroshot", clients=2)], tmp_path / "one.jsonl")
    names = {path.name for path in write_plots(file, tmp_path / "plots", {"zeroshot": "CLIP"})}
    assert "base2novel-clients.png" in names
    assert "base2novel-rounds.png" not in names


def test_nothing_is_packed_of_a_folder_with_damage(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    next(store.root.glob("promptfl*")).joinpath("record.json").write_text("{")
    file = tmp_path / "mine.jsonl"
    code, _, err = call(["pack", str(store.root), str(file)], monkeypatch, capsys)
    assert (code, file.exists()) == (2, False)
    assert "record.json is damaged" in err


def test_no_path_of_the_machine_is_packed(file: Path) -> None:
    assert "Traceback" not in file.read_text()
    assert json.loads(file.read_text().split("\n")[0])["cells"] == 5


def test_a_packed_cell_from_before_records_said_what_things_are_called_is_told_all_the_same(
    tmp_path: Path,
) -> None:
    (old,) = Store(Path(__file__).parents[1] / "golden" / "record_schema_2").records()
    (again,) = packed.read(packed.write([old], tmp_path / "old.jsonl"))
    assert isinstance(again, Record)
    assert (again.schema_version, again.headline) == (2, ["local", "base", "novel", "hm", "cm"])
    assert again.words == "5 clients with classes of their own, 2 shots"
    assert again.about == old.about
    assert "headline" not in (tmp_path / "old.jsonl").read_text()

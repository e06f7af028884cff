"""Packed records as Parquet: the same cells as JSON-lines, and columns for pandas alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import call
from make_records import make_record, write_done

from fplbench import load_results
from fplbench.errors import UserError
from fplbench.records import packed
from fplbench.records.record import SCHEMA, Failure, Record
from fplbench.records.results import read_cells
from fplbench.records.store import Store

pytest.importorskip("pyarrow")
Run = Callable[..., tuple[int | str | None, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *words: call([*map(str, words)], monkeypatch, capsys)


@pytest.fixture
def records() -> list[Record]:
    failed = Failure(
        kind="diverged", message="a loss\u2028\udc80 is not finite", traceback="/home/me"
    )
    return [
        make_record("promptfl", source="Ann, Ulm", settings={"n_ctx": 4, "names": ["a", "b"]}),
        make_record("zeroshot", "shapes_domains", "domains"),
        make_record("fedpgp", status="diverged", error=failed, metrics={}, settings={"n_ctx": 0.5}),
        make_record("coop", settings={"n_ctx": "four", "flag": True, "big": 2**70}),
    ]


def test_the_cells_are_those_of_json_lines(records: list[Record], tmp_path: Path) -> None:
    lines = packed.write(records, tmp_path / "a" / "all.jsonl.gz")
    file = packed.write(records, tmp_path / "b" / "all.parquet")
    assert packed.read(file) == packed.read(lines)
    assert packed.write(packed.read(file), tmp_path / "c.parquet").read_bytes() == file.read_bytes()
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    one, other = (load_results(path) for path in (file.parent, lines))
    pd.testing.assert_frame_equal(one.drop(columns="path"), other.drop(columns="path"))
    assert b"/home/me" not in file.read_bytes()


def test_pandas_alone_reads_what_a_cell_is_and_its_numbers(
    records: list[Record], tmp_path: Path
) -> None:
    file = packed.write(records, tmp_path / "all.parquet")
    table = pd.read_parquet(file).set_index("method")
    assert table.loc["promptfl", "source"] == "Ann, Ulm"
    assert table.loc["promptfl", "train.rounds"] == 10
    assert table["train.rounds"].dtype.kind == "i"
    assert table["scen.alpha"].isna().all() if "scen.alpha" in table else True
    local = records[0].metrics["local"].mean
    assert table.loc["promptfl", "local"] == pytest.approx(local, abs=0.001)
    assert np.isnan(table.loc["fedpgp", "local"])
    assert table.loc["fedpgp", "status"] == "diverged"
    # Of several types: as text, so that none is lost.
    assert set(table["set.n_ctx"].dropna()) == {"4", "0.5", "four"}
    assert table.loc["promptfl", "set.names"] == '["a", "b"]'
    assert table.loc["coop", "set.big"] == str(2**70)


def test_every_command_reads_it(run: Run, tmp_path: Path) -> None:
    for seed in range(2):
        write_done(Store(tmp_path / "runs"), make_record(seed=seed))
    assert run("pack", "runs", "-o", "mine.parquet", "--by", "Ann")[0] == 0
    for words in (["tables"], ["plots"], ["report"], ["show"]):
        code, out, err = run(*words, "mine.parquet")
        assert (code, err) == (0, "")
    assert "Ann" in out
    packed.write([make_record(seed=2)], tmp_path / "b.jsonl.gz")
    code, out, _ = run("merge", "mine.parquet", "b.jsonl.gz", "runs", "-o", "all.parquet")
    assert (code, "3 cells" in out, "2 were there more than once" in out) == (0, True, True)
    assert {r.source for _, r in read_cells(tmp_path / "all.parquet")[0]} == {"Ann", "b.jsonl.gz"}


def test_damage_is_named_and_other_peoples_files_are_left_alone(
    records: list[Record], tmp_path: Path
) -> None:
    file = packed.write(records, tmp_path / "all.parquet")
    data = file.read_bytes()
    for torn in (data[:4], data[:12], data[: len(data) // 2], data[:-1], data[:-9] + b"x" * 9):
        file.write_bytes(torn)
        for place in (file, tmp_path):
            (problem,) = read_cells(place)[1]
            assert f"{file} is damaged" in problem.message
    file.write_bytes(data[:300] + b"?" * 40 + data[340:])
    assert "is damaged" in read_cells(file)[1][0].message
    pd.DataFrame({"id": ["a"], "record": ["{}"]}).to_parquet(file)
    assert read_cells(tmp_path) == ([], [])
    with pytest.raises(UserError, match="no file of packed records"):
        read_cells(file)


def test_a_row_that_is_no_record_is_named_and_the_others_are_there(
    records: list[Record], tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    file = packed.write(records, tmp_path / "all.parquet")
    table = pq.read_table(file)
    texts = table.column("record").to_pylist()
    texts[1:4] = ["{", None, texts[3].replace(f'"schema": {SCHEMA}', '"schema": 9')]
    place = table.column_names.index("record")
    pq.write_table(table.set_column(place, "record", [texts]), file)
    found, problems = read_cells(file)
    assert len(found) == 1
    said = [problem.message for problem in problems]
    assert "row 2: no JSON" in said[0]
    assert "row 3: no JSON of a cell" in said[1]
    assert "its schema is 9" in said[2]


def test_without_pyarrow_a_sentence_says_what_to_install(
    run: Run, records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_done(Store(tmp_path / "runs"), make_record())
    packed.write(records, tmp_path / "runs" / "all.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)  # pandas has pyarrow itself
    for words in (["tables", "runs/all.parquet"], ["pack", "runs/all.parquet", "-o", "b.jsonl"]):
        code, _, err = run(*words)
        assert code == 2
        assert "is Parquet, which needs pyarrow, which is not installed here: pip install" in err
    code, _, err = run("tables", "runs")  # the other cells are there, and this is said
    assert (code, "runs/all.parquet is Parquet" in err) == (0, True)
    code, _, err = run("pack", "runs", "-o", "b.jsonl")
    assert (code, "Nothing was packed" in err) == (2, True)
    (tmp_path / "runs" / "all.parquet").unlink()
    code, _, err = run("pack", "runs", "-o", "b.parquet")
    assert (code, err.startswith("fplbench: Parquet needs pyarrow")) == (2, True)
    assert not (tmp_path / "b.parquet").exists()

"""The command that makes a cell again is beside it, and a cell can be computed once more."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from command_line import call

from fplbench.records import command
from fplbench.records.store import Store, read_record

CELLS = [
    ["--methods", "promptfl", "--strategies", "fedprox", "--set", "fedprox.mu=0.3"],
    ["--methods", "fedpgp", "--set", "fedpgp.mu=2", "--lr-schedule", "cosine"],
    ["--methods", "fedtpg", "--datasets", "digits+shapes_domains", "--test-on", "digits"],
]
Run = Callable[[list[str]], tuple[int, str, str]]
SMALL = ["--rounds", "1", "--local-epochs", "1", "--set", "evaluations=1", "--threads", "1"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], store: Path
) -> Iterator[Run]:
    monkeypatch.setenv("FPLBENCH_CACHE", str(store.parent / "cache"))
    yield lambda words: call([*words], monkeypatch, capsys)
    torch.set_num_threads(1)


def cell(run: Run, store: Path, words: list[str]) -> Path:
    """A finished cell of these words, made once."""
    data = (
        [] if "--datasets" in words else ["--datasets", "digits", "--clients", "2", "--shots", "2"]
    )
    code, _, err = run(["run", *words, *data, *SMALL, "--out", str(store)])
    assert code == 0, err
    (record,) = store.glob(f"{words[1]}*/record.json")
    return record.parent


@pytest.mark.parametrize("words", CELLS)
def test_the_command_beside_a_cell_is_of_that_cell(run: Run, store: Path, words: list[str]) -> None:
    record = read_record(cell(run, store, words))
    again = [*command.command(record)[1:], "--out", str(store), "--dry-run"]
    code, out, err = run(again)
    assert (code, err) == (0, "")
    assert "1 cell: 0 to run" in out
    old = record.model_copy(update={"changed": None})  # before this was kept
    assert run([*command.command(old)[1:], *again[-3:]])[1] == out
    assert command.line(record) in run(["show", str(store / record.id)])[1]


def test_numbers_come_out_again_or_it_is_said(run: Run, store: Path, tmp_path: Path) -> None:
    folder = cell(run, store, CELLS[0])
    kept = (folder / "record.json").read_bytes()
    code, out, _ = run(["rerun", str(folder)])
    assert code == 0
    assert "came out again, to the last bit" in out
    assert (folder / "record.json").read_bytes() == kept
    # A record that says something else, written as every record is.
    record = read_record(folder)
    moved = record.metrics["local"].model_copy(update={"mean": record.metrics["local"].mean + 3})
    other = record.model_copy(update={"metrics": record.metrics | {"local": moved}})
    Store(tmp_path).write(other, Store(store).history(record.id), {})
    code, out, err = run(["rerun", str(tmp_path), "--cell", "promptfl"])
    assert code == 1, err
    assert f"local: {moved.mean:.2f} in the record" in out


def test_a_cell_that_has_changed_is_no_rerun(run: Run, store: Path, tmp_path: Path) -> None:
    folder = cell(run, store, CELLS[0])
    record = read_record(folder)
    fields = json.loads(record.to_json()) | {
        "id": "promptfl_other",
        "code": {"method": {"a.py": "1"}},
    }
    Store(tmp_path).write(type(record).model_validate(fields), Store(store).history(record.id), {})
    code, _, err = run(["rerun", str(tmp_path)])
    assert code == 2
    assert "The record was made before" in err
    assert "--anyway" in err
    assert run(["rerun", str(tmp_path), "--anyway"])[0] == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "There is nothing at nowhere"),
        (["{store}", "--cell", "xyz"], "no finished cell at"),
        (["{store}"], "name one with --cell"),
    ],
)
def test_one_finished_cell_must_be_meant(
    run: Run, store: Path, words: list[str], sentence: str
) -> None:
    for some in CELLS[:2]:
        cell(run, store, some)
    code, _, err = run(["rerun", *(word.format(store=store) for word in words)])
    assert code == 2
    assert sentence in err


def test_commands_of_many_cells_make_these_and_no_others(
    run: Run, store: Path, tmp_path: Path
) -> None:
    """Two methods, one swept, on two data sets with two seeds, and a cell beside the product."""
    where = ["--clients", "2", "--shots", "2", *SMALL, "--out", str(tmp_path), "--scenario", "iid"]
    both = ["run", "--datasets", "digits,shapes", "--seeds", "0,1", *where]
    assert (
        run([*both, "--methods", "zeroshot,tipadapter", "--set", "tipadapter.alpha=[0.5,2]"])[0]
        == 0
    )
    assert (
        run(["run", "--methods", "zeroshot", "--datasets", "digits", "--seeds", "2", *where])[0]
        == 0
    )
    records = Store(tmp_path).records()
    lines = command.lines(records)
    assert len(lines) < len(records) == 13
    made: list[str] = []
    for line in lines:
        code, out, err = run([*shlex.split(line)[1:], "--out", str(tmp_path), "--dry-run"])
        assert (code, ": 0 to run" in out) == (0, True), err
        made += [row.split()[1] for row in out.splitlines() if row.startswith("done ")]
    assert sorted(made) == sorted(record.id for record in records)

"""`fplbench demo` runs the committed reference's cells, and ends with its page."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from command_line import call

from fplbench.cli.demo import GRID
from fplbench.records.results import read_cells
from fplbench.report import reference

ROOT = Path(__file__).parents[2]
Patch, Capture = pytest.MonkeyPatch, pytest.CaptureFixture[str]


def test_its_cells_are_in_the_reference(
    tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    command = ["run", str(GRID), "--out", str(tmp_path / "out"), "--dry-run"]
    code, out, err = call(command, monkeypatch, capsys)
    assert code == 0, err
    cells = {line.split()[-1] for line in out.splitlines() if line.startswith("to do ")}
    assert len(cells) == 2 * 6 * 12
    assert cells <= {record.id for _, record in read_cells(reference.FILE)[0]}


def test_make_calls_it() -> None:
    make = ["make", "--dry-run", "--always-make", "--no-print-directory", "demo"]
    text = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert text.splitlines()[-1].endswith("fplbench demo --out results/demo")


def test_a_step_that_is_refused_is_the_last(
    tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    code, _, err = call(["demo", "--out", str(taken)], monkeypatch, capsys)
    assert code == 2
    assert err.splitlines()[0] == f"fplbench run {GRID} --out {taken} --jobs 2"
    assert "fplbench tables" not in err
    assert taken.read_text() == "a file"


@pytest.mark.slow
def test_the_quick_one_goes_from_cells_to_the_page(
    tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call(["demo", "--quick"], monkeypatch, capsys)
    assert code == 0, err
    folder = Path("results/demo-quick")
    steps = [line for line in err.splitlines() if line.startswith("fplbench ")]
    assert [line.split()[1] for line in steps] == ["run", "tables", "plots", "report"]
    found = [record for _, record in read_cells(folder)[0]]
    assert {(r.status, r.seed, r.training["rounds"]) for r in found} == {("done", 0, 2)}
    assert len(found) == 2 * 6
    for made in ("report.html", "tables/tables.tex", "plots/base2novel-tradeoff.png"):
        assert (folder / made).stat().st_size > 1000
        assert str(folder / made) in out
    assert "the numbers are of two rounds alone" in err

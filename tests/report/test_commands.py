"""tables, plots and report as a user types them, on records alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import call
from make_records import make_record, write_done

from fplbench.records.record import Metric
from fplbench.records.store import Store


def test_report_writes_one_file_and_names_it(
    comparison: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = tmp_path / "new" / "r.html"
    code, out, _ = call(["report", str(comparison), "-o", str(page)], monkeypatch, capsys)
    assert (code, out.strip()) == (0, str(page))
    assert page.read_text().startswith("<!doctype html>")


def test_a_table_of_ones_own_is_shown_and_written(
    comparison: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["--rows", "method", "--metric", "local,hm", "--where", "scenario=base2novel"]
    code, out, _ = call(
        ["tables", str(comparison), *asked, "--out", str(tmp_path)], monkeypatch, capsys
    )
    assert code == 0
    assert "CLIP zero-shot" in out or "zeroshot" in out
    ends = {Path(line).suffix for line in out.splitlines() if line.startswith(str(tmp_path))}
    assert ends == {".tex", ".md", ".csv"}


@pytest.mark.parametrize("own", [[], ["--rows", "method"]])
def test_tables_show_the_mean_over_the_last_five_rounds_when_asked(
    own: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = Store(tmp_path)
    for method, last5 in (("promptfl", 61.25), ("coop", None)):
        record = make_record(method, "digits", "personal")
        metrics = {"local": Metric(mean=70.5, last5=last5)}
        write_done(store, record.model_copy(update={"metrics": metrics}))
    out = tmp_path / "out"
    arguments = ["tables", str(tmp_path), "--headline", "last5", "--out", str(out), *own]
    assert call(arguments, monkeypatch, capsys)[0] == 0
    (page,) = out.glob("*.md")
    text = page.read_text()
    assert "as the mean over the last five rounds" in text
    assert "61.2" in text
    assert "70.5" not in text
    if not own:  # a table of one's own says n/a without a reason
        assert "not every one of the last five rounds was evaluated" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--published", "--headline", "last5"], "leave --rows, --columns, --metric, --where"),
        (["--where", "scenario=domains"], "name its --rows too"),
        (["--metric", "novel"], "name its --rows too"),
        (["--columns", "alpha"], "name its --rows too"),
        (["--rows", "method"], "scenario (base2novel, domains)"),
        (["--rows", ","], "needs --rows"),
        (["--rows", "method", "--where", "scenario"], "NAME=VALUE"),
    ],
)
def test_a_table_that_cannot_be_made_is_one_sentence(
    comparison: Path,
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = call(["tables", str(comparison), *arguments], monkeypatch, capsys)
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not (comparison / "tables").exists()


def test_a_folder_without_records_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        code, _, err = call(["report", str(folder)], monkeypatch, capsys)
        assert code == 2
        assert "records" in err or "results" in err
    assert not list(tmp_path.iterdir())


def test_reports_import_neither_torch_nor_a_plugin(comparison: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from fplbench.cli import app; sys.argv[0] = 'fplbench'\n"
        "try: app.main()\n"
        "except SystemExit as end: assert not end.code\n"
        "loaded = [n for n in sys.modules if n == 'torch' or n.startswith('fplbench.methods')]\n"
        "assert not loaded, loaded"
    )
    for command in ("tables", "plots", "report"):
        out = str(tmp_path / command)
        subprocess.run(
            [sys.executable, "-c", code, command, str(comparison), "--out", out], check=True
        )

"""What `fplbench new` writes is a plug-in that its registry takes, and a method that passes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_line import call

from fplbench.cli.new import ROWS, Kind
from fplbench.contract.exam import examine
from fplbench.plugins import registry

FOUND = {
    Kind.method: registry.methods,
    Kind.strategy: registry.strategies,
    Kind.dataset: registry.datasets,
    Kind.scenario: registry.scenarios,
    Kind.metric: registry.metrics,
    Kind.table_format: registry.formats,
    Kind.executor: registry.executors,
}
Patch, Capture = pytest.MonkeyPatch, pytest.CaptureFixture[str]


@pytest.mark.parametrize("kind", Kind)
def test_what_is_written_is_found(
    kind: Kind, tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    folder = tmp_path / "plugins"
    command = ["new", kind.value, "my_own", "--out", str(folder)]
    code, out, _ = call(command, monkeypatch, capsys)
    assert code == 0
    assert f"{folder / 'my_own.py'} is written" in out
    found = FOUND[kind]([folder])
    assert not found.broken
    assert found.origins["my_own"] == str(folder / "my_own.py")
    assert found.classes["my_own"].__name__ == "MyOwn"
    assert "mine" not in (folder / "my_own.py").read_text().lower().split()
    code, _, err = call(command, monkeypatch, capsys)
    assert code == 2
    assert "is there already" in err


def test_a_new_method_passes_the_exam(tmp_path: Path, monkeypatch: Patch, capsys: Capture) -> None:
    call(["new", "method", "my_own", "--out", str(tmp_path)], monkeypatch, capsys)
    verdicts = list(examine(registry.methods([tmp_path]).get("my_own")))
    assert {verdict.outcome for verdict in verdicts} == {"passed"}


def test_a_new_scenario_strategy_metric_and_executor_run(
    tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    folder, out = str(tmp_path / "plugins"), str(tmp_path / "out")
    for kind in ("scenario", "strategy", "metric", "executor", "format"):
        name = f"my_{kind}"
        assert call(["new", kind, name, "--out", folder], monkeypatch, capsys)[0] == 0
    what = ["--methods", "coop", "--strategies", "my_strategy", "--scenario", "my_scenario"]
    how = ["--rounds", "1", "--clients", "3"]
    where = ["--executor", "my_executor", "--plugins", folder, "--out", out]
    command = ["run", "--datasets", "digits", *what, *how, *where]
    code, said, err = call(command, monkeypatch, capsys)
    assert code == 0, err
    assert "my_scenario: 3 clients" in said
    tables = ["tables", out, "--plugins", folder, "--formats", "my_format"]
    assert call([*tables, "--measure", "my_metric"], monkeypatch, capsys)[0] == 0
    (page,) = Path(out, "tables").iterdir()
    assert "mean confidence" in page.read_text().lower()


HEADS = {
    Kind.method: "| name | shared, sent each round |",
    Kind.strategy: "| name | what it computes |",
    Kind.dataset: "| name | classes | images |",
    Kind.scenario: "| scenario | clients |",
}


@pytest.mark.parametrize("kind", ROWS)
def test_its_row_fits_the_pages_table(
    kind: Kind, tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    _, out, _ = call(["new", kind.value, "my_own", "--out", str(tmp_path)], monkeypatch, capsys)
    page = (Path(__file__).parents[2] / ROWS[kind][0]).read_text()
    (head,) = [line for line in page.splitlines() if line.startswith(HEADS[kind])]
    row = out.splitlines()[-1].strip()
    assert row.startswith("| `my_own` |")
    assert len(re.split(r"(?<!\\)\|", row)) == len(re.split(r"(?<!\\)\|", head))


@pytest.mark.parametrize("name", ["My", "1a", "class", "a-b"])
def test_a_name_that_is_none_is_refused(
    name: str, tmp_path: Path, monkeypatch: Patch, capsys: Capture
) -> None:
    code, _, err = call(["new", "method", name, "--out", str(tmp_path)], monkeypatch, capsys)
    assert code == 2
    assert "is no name" in err
    assert not list(tmp_path.iterdir())

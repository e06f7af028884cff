"""A scenario of a user's own, from the command line to the table."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import call
from plugin_texts import scenario_text

from fplbench.cli.consoles import out
from fplbench.records.store import Store

Call = Callable[..., str]


@pytest.fixture
def say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """say(arguments, code=0): all that the command line says."""
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))

    monkeypatch.setattr(out, "width", 300)  # pytest's paths may be long

    def said(*arguments: str | Path, code: int = 0) -> str:
        ended, *texts = call([str(each) for each in arguments], monkeypatch, capsys)
        assert ended == code, texts
        return "".join(texts)

    return said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "mine.py").write_text(scenario_text())
    return plugins


def test_it_is_listed_drawn_run_and_told(folder: Path, tmp_path: Path, say: Call) -> None:
    out, picture = tmp_path / "out", tmp_path / "mine.png"
    mine = ("--scenario", "mine", "--plugins", folder)
    assert "images dealt in their order" in say("list", "scenarios", "--plugins", folder)
    drawn = say("data", "partition", "digits", *mine, "--set", "parts=3", "--out", picture)
    assert "3 clients" in drawn
    assert picture.exists()
    what = ("--methods", "zeroshot", "--datasets", "digits", "--device", "cpu", "--out", out)
    assert "1 cell done" in say("run", *what, *mine, "--rounds", "1", "--set", "parts=3")
    (record,) = Store(out).records()
    assert record.scenario_settings == {"parts": 3}
    assert (record.headline, record.words) == (["local"], "3 parts")
    assert record.code["scenario"].keys() == {"mine.py"}
    # Without the plug-in, since the record has the words.
    say("tables", out)
    text = (out / "tables" / "tables.md").read_text()
    assert "mine: 3 parts; backbone tiny" in text
    assert "At home" in text


def test_another_code_of_it_makes_another_cell_and_the_built_in_ones_know_none(
    folder: Path, tmp_path: Path, say: Call
) -> None:
    out = tmp_path / "out"
    what = ("--methods", "zeroshot", "--datasets", "digits", "--device", "cpu", "--out", out)
    say("run", *what, "--scenario", "mine,iid", "--plugins", folder, "--rounds", "1")
    assert "stale" not in say("status", out)
    (folder / "mine.py").write_text(scenario_text(shots="3"))
    line = "zeroshot on digits, seed 0, made before mine.py changed"
    assert f"stale: {line}" in say("status", out)
    changed = shutil.copytree(folder, tmp_path / "changed")
    again = say("run", *what, "--scenario", "mine,iid", "--plugins", changed, "--rounds", "1")
    assert "made before mine.py changed; it is computed anew" in again
    assert "1 cell done, 1 were done before" in again
    by_scenario = {record.scenario: record for record in Store(out).records()}
    assert "scenario" not in by_scenario["iid"].identity


def test_what_is_wrong_with_it_is_said_before_anything_runs(
    folder: Path, tmp_path: Path, say: Call
) -> None:
    (folder / "broken.py").write_text("import nothing_of_this_name\n")
    run = ("run", "--methods", "zeroshot", "--datasets", "digits", "--plugins", folder)
    said = say(*run, "--scenario", "mine", "--set", "parts=0", code=2)
    assert "parts is 0, but must be at least 1 (scenario mine)." in said
    assert "did you mean 'mine'" in say(*run, "--scenario", "minee", code=2)
    assert "nothing_of_this_name" in say(*run, "--scenario", "broken", code=2)
    (folder / "greedy.py").write_text(
        scenario_text("greedy").replace("test = ", "train[0] = train[1]\n        test = ")
    )
    said = say(*run, "--scenario", "greedy", code=2)
    assert "the scenario breaks its contract: a training image is dealt twice" in said

"""Places that take no files, home written as ~, and outputs that cannot show every letter."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import call
from pictures import class_tree

from fplbench.cli.app import main
from fplbench.errors import UserError
from fplbench.machine.caches import cache_folder
from fplbench.records.atomic import require_writable

RUN = ["run", "--methods", "zeroshot", "--datasets", "digits", "--clients", "2", "--rounds", "1"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "file").touch()
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        [*RUN, "--out", "file/out"],
        [*RUN, "--out", "file"],
        ["tables", ".", "--out", "file/tables"],
        ["plots", ".", "--out", "file/plots"],
        ["data", "show", "digits", "--out", "file/a.png"],
        ["data", "partition", "digits", "--out", "file/a.png"],
    ],
)
def test_what_takes_no_files_is_said_before_the_work(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    code, _, err = call(arguments, monkeypatch, capsys)
    assert code == 2
    assert "cannot write to file" in err
    assert "--out" in err
    assert len(err.splitlines()) == 1
    assert not (here / "cache").exists()


@pytest.mark.parametrize("arguments", [RUN, ["data", "verify", "digits"]])
def test_a_cache_that_takes_no_files_is_named_with_its_variable(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.setenv("FPLBENCH_CACHE", str(here / "file" / "c"))
    code, _, err = call(arguments, monkeypatch, capsys)
    assert code == 2
    assert "FPLBENCH_CACHE" in err
    assert "file/c" in err


def test_a_folder_that_can_be_made_is_not_made_by_asking(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "b", "")
    assert not list(tmp_path.iterdir())
    (tmp_path / "f").touch()
    with pytest.raises(UserError, match="Not a directory"):
        require_writable(tmp_path / "f" / "b", "")


def test_home_is_expanded_in_every_path(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class_tree(here / "home" / "photos", {"cat": 20, "dog": 20})
    monkeypatch.setenv("FPLBENCH_CACHE", "~/cache")
    assert cache_folder() == here / "home" / "cache"
    (here / "home" / "plug").mkdir()
    command = ["folder:~/photos" if word == "digits" else word for word in RUN]
    command += ["--out=~/out", "--plugins", "~/plug"]
    code, _, err = call(command, monkeypatch, capsys)
    assert code == 0, err
    assert err.startswith("folder:home/photos: 2 classes")
    for command in (["tables", "~/out"], ["check", "~/out"], ["show", "~/out"]):
        assert call(command, monkeypatch, capsys)[0] == 0
    assert (here / "home" / "out" / "tables" / "tables.md").is_file()
    assert not (here / "~").exists()
    code, _, err = call([*RUN, "--out", "~nobody_of_that_name/out"], monkeypatch, capsys)
    assert code == 0, err


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_what_an_output_cannot_show_is_shown_by_number(here: Path, encoding: str) -> None:
    class_tree(here / "\u732b", {"cat": 4, "dog": 4})
    command = [sys.executable, "-m", "fplbench", "data", "verify", "folder:\u732b"]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert rb"folder:\u732b" in done.stdout


def test_a_file_of_another_encoding_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_tree(here / "d", {"cat": 4, "dog": 4})
    (here / "d" / "cat" / os.fsdecode(b"k\xe4tzchen.jpg")).write_bytes(b"no picture")
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8"))
    monkeypatch.setattr(sys, "argv", ["fplbench", "data", "verify", "folder:d"])
    with pytest.raises(SystemExit) as ended:
        main()
    sys.stdout.flush()
    assert ended.value.code == 1
    assert rb"cat/k\xe4tzchen.jpg is no image" in raw.getvalue()

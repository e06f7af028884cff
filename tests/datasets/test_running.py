"""Runs on pictures of one's own: what is left out, refused and recorded."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import call
from miniatures import cifar10_folders
from pictures import class_tree

from fplbench.cli.app import main
from fplbench.features.stock import Workbench
from fplbench.grid.run import present
from fplbench.machine.place import Place

HOW = [
    "--methods",
    "zeroshot",
    "--clients",
    "2",
    "--rounds",
    "1",
    "--device",
    "cpu",
    "--out",
    "out",
]
Run = Callable[..., tuple[str, list[dict[str, Any]]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """run("--datasets", NAME, code=0): what was said beside the tables, and the records."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FPLBENCH_DATA", raising=False)
    class_tree(tmp_path / "photos" / "train", {"cat": 20, "dog": 20})
    class_tree(tmp_path / "photos" / "test", {"cat": 10, "dog": 10})

    def start(*arguments: str, code: int = 0) -> tuple[str, list[dict[str, Any]]]:
        monkeypatch.setattr(sys, "argv", ["fplbench", "run", *HOW, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert ended.value.code == code, out + err
        records = [json.loads(p.read_text()) for p in sorted(Path("out").glob("*/record.json"))]
        return err, records

    return start


def test_a_folder_of_pictures_is_a_data_set(run: Run) -> None:
    err, (record,) = run("--datasets", "folder:photos")
    assert err == (
        "folder:photos: 2 classes (cat, dog), 40 training and 20 test images (the folders train "
        "and test); train/cat/0.jpg is 'cat' and test/dog/0.jpg is 'dog'.\n"
    )
    assert record["dataset"] == "folder:photos"
    assert record["scenario"] == "personal"
    assert record["identity"]["split"] == "the folders train and test"
    assert sum(record["train_sizes"]) == 40
    assert record["notes"] == []


def test_broken_pictures_are_refused_or_left_out_with_a_count(run: Run) -> None:
    (Path("photos") / "train" / "cat" / "3.jpg").write_bytes(b"")
    err, records = run("--datasets", "folder:photos", code=2)
    assert "folder:photos, personal: 1 image cannot be used" in err
    assert "photos/train/cat/3.jpg is empty" in err
    assert records == []
    err, (record,) = run("--datasets", "folder:photos", "--skip-broken")
    assert "1 image unusable and left out" in err
    assert record["notes"] == ["1 image unusable and left out (--skip-broken)"]
    assert sum(record["train_sizes"]) == 39


def test_another_picture_is_another_cell(run: Run) -> None:
    run("--datasets", "folder:photos")
    (Path("photos") / "train" / "cat" / "3.jpg").unlink()
    _, records = run("--datasets", "folder:photos")
    assert len({record["identity"]["data"] for record in records}) == 2


def test_a_part_of_a_data_set_is_recorded_as_such(run: Run) -> None:
    cifar10_folders(Path("data"))
    class_tree(Path("data/cifar10/train"), {"airplane": 20, "automobile": 20})
    err, (record,) = run("--datasets", "cifar10")
    assert "cifar10: 40 training and 3 test images, where 50,000 and 10,000 are published" in err
    assert "50,000" in record["notes"][0]


def test_all_is_what_is_there_and_one_line_names_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cifar10_folders(tmp_path)
    bench = Workbench(Place(store=tmp_path, cache=tmp_path, device="cpu", root=tmp_path))
    found, absent = present(("all",), bench)
    assert set(found) == {"cifar10", "digits", "shapes", "shapes_domains"}
    assert absent[:3] == ["caltech101", "cifar100", "domainnet"]
    assert "folder" not in absent
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    command = ["run", "--methods", "zeroshot", "--datasets", "all", "--data-root", str(tmp_path)]
    how = ["--dry-run", "--scenario", "iid", "--out", str(tmp_path / "out")]
    _, _, err = call([*command, *how], monkeypatch, capsys)
    (line,) = [line for line in err.splitlines() if line.startswith("Left out")]
    assert line.startswith("Left out, not on disk: caltech101, cifar100, domainnet")
    assert line.endswith("(fplbench data list).")


def test_what_is_not_there_is_refused_by_name(run: Run) -> None:
    err, _ = run("--datasets", "oxford_pets,folder:nowhere", code=2)
    assert "fplbench data download oxford_pets" in err
    assert "there is no folder nowhere" in err


@pytest.mark.parametrize("domain", ["15", "null", "no", "photo, old", "1e3", "caf\u00e9"])
def test_a_domain_of_any_name_is_held_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    domain: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    class_tree(Path("d") / domain, {"cat": 8, "dog": 8})
    class_tree(Path("d") / "photo", {"cat": 8, "dog": 8})
    flags = ["--methods", "zeroshot", "--datasets", "folder_domains:d", "--rounds", "1"]
    typed = unicodedata.normalize("NFD", domain)
    code, _, err = call(["run", *flags, "--hold-out", typed, "--out", "a"], monkeypatch, capsys)
    assert code == 0, err
    Path("g.yaml").write_text(
        "methods: zeroshot\ndatasets: folder_domains:d\nsettings:\n"
        f"  hold_out: {domain}\n  rounds: 1\n",
        encoding="utf-8",
    )
    code, out, err = call(["run", "g.yaml", "--out", "a"], monkeypatch, capsys)
    assert (code, "Nothing to do" in out) == (0, True), out + err
    for path in Path("a").glob("*/record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        assert record["clients"] == ["photo"]
        assert record["words"] == f"a client a domain, {domain} held out"


def test_one_folder_by_another_path_is_one_data_set(run: Run, tmp_path: Path) -> None:
    Path("link").symlink_to("photos")
    for path in ("photos", "photos/", "./photos", "photos/../photos", "link", tmp_path / "photos"):
        err, records = run("--datasets", f"folder:{path}")
        assert err.startswith("folder:photos: ")
    assert [record["dataset"] for record in records] == ["folder:photos"]
    _, records = run("--datasets", f"folder:link,folder:{tmp_path}/photos/")
    assert len(records) == 1


def test_a_path_longer_than_a_name_may_be(run: Run) -> None:
    deep = "/".join(["x" * 60] * 5)
    class_tree(Path(deep), {"cat": 20, "dog": 20})
    _, records = run("--datasets", f"folder:{deep}")
    assert records[-1]["dataset"] == f"folder:{deep}"
    assert run("--datasets", f"folder:{'y' * 300}", code=2)[0].count("there is no folder") == 1


@pytest.mark.parametrize("setting", ["lr=inf", "momentum=nan", "alpha=inf", "lr=1e999"])
def test_settings_that_are_not_finite_are_refused_before_the_first_cell(
    run: Run, setting: str
) -> None:
    err, records = run("--datasets", "folder:photos", "--set", setting, code=2)
    assert "finite" in err or "must be below" in err or "must be at least" in err
    assert records == []

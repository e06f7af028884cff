"""`fplbench data` as a user types it, in this process."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from miniatures import cifar10_folders, office_folders, pets_zhou
from pictures import class_tree
from PIL import Image

from fplbench.cli.app import main

Call = Callable[..., tuple[str, str]]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """call("list", code=0): stdout and stderr of `fplbench data list` in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FPLBENCH_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path, code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["fplbench", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert ended.value.code == code, out + err
        return out, err

    return run


def test_list_says_what_is_there_and_where_the_rest_was_looked_for(call: Call) -> None:
    cifar10_folders(Path("data"))
    out, _ = call("list")
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "yes" in lines["cifar10"]
    assert "data/cifar10" in lines["cifar10"]
    assert "no" in lines["oxford_pets"]
    assert "looked for oxford_pets, oxford-iiit-pet" in lines["oxford_pets"]
    assert "register at image-net.org" in lines["imagenet:"]
    assert "folder:PATH" in lines


def test_the_root_is_the_flag_the_variable_or_the_folder_data(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cifar10_folders(tmp_path / "mine")
    _, err = call("verify", "cifar10", code=2)
    assert "there is no folder data" in err
    assert "fplbench data download cifar10" in err
    call("show", "cifar10", "--data-root", tmp_path / "mine")
    monkeypatch.setenv("FPLBENCH_DATA", str(tmp_path / "mine"))
    call("show", "cifar10")


def test_verify_names_what_differs_and_ends_with_1(call: Call) -> None:
    pets_zhou(Path("data"))
    out, _ = call("verify", "oxford_pets", code=1)
    assert "split: split_zhou_OxfordPets.json" in out
    assert "2 training images, where 2,944 are published" in out
    assert "2 classes, where 37 are published" in out
    assert "Every image opens." in out


def test_a_data_set_of_one_s_own_is_not_held_to_numbers_nobody_published(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `fplbench new dataset` writes it, and put where it says."""
    monkeypatch.setattr(sys, "argv", ["fplbench", "new", "dataset", "mine"])
    with pytest.raises(SystemExit, match="0"):
        main()
    for part, count in (("train", 3), ("test", 2)):
        class_tree(Path("data") / "mine" / part, {"cat": count, "dog": count})
    out, _ = call("verify", "mine", "--plugins", "plugins")
    assert "differs from" not in out
    assert "no published numbers to compare with" in out
    listed, _ = call("list", "--plugins", "plugins")
    line = next(line for line in listed.splitlines() if line.startswith("mine"))
    assert line.split() == ["mine", "yes", "data/mine"]


def test_verify_finds_every_kind_of_fault(call: Call) -> None:
    photos = Path("photos")
    class_tree(photos / "train", {"cat": 3, "dog": 3})
    class_tree(photos / "test", {"cat": 2, "dog": 2})
    shutil.copy(photos / "train" / "cat" / "0.jpg", photos / "test" / "dog" / "again.jpg")
    for name in ("cat/9.jpg", "dog/9.jpg"):
        shutil.copy(photos / "train" / "cat" / "0.jpg", photos / "train" / name)
    (photos / "test" / "cat" / "1.jpg").write_bytes(b"")
    Image.new("CMYK", (8, 8)).save(photos / "train" / "dog" / "print.jpg")
    out, _ = call("verify", f"folder:{photos}", code=1)
    assert "test/cat/1.jpg is empty (zero bytes)" in out
    assert "1 odd, converted (1 CMYK)" in out
    assert "train/cat/0.jpg = test/dog/again.jpg" in out
    assert "2 training images are there already (1 in another class):" in out
    assert "train/cat/0.jpg = train/dog/9.jpg, of two classes" in out


def test_verify_reads_again_what_was_changed_behind_its_time(call: Call) -> None:
    class_tree(Path("photos"), {"cat": 4, "dog": 4})
    call("verify", "folder:photos")
    path = Path("photos/cat/2.jpg")
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[:20] = bytes(20)
    path.write_bytes(content)
    import os

    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    out, _ = call("verify", "folder:photos", code=1)
    assert "cat/2.jpg is no image" in out


def test_embedded_sets_are_verified_too(call: Call) -> None:
    out, _ = call("verify", "digits")
    assert "1,078" in out
    assert "No test image is in training too." in out


def test_show_draws_a_row_a_class_and_columns_of_domains(call: Call) -> None:
    office_folders(Path("data"))
    out, _ = call("show", "office_caltech10", "--classes", "4", "--images", "2")
    path = Path(out.strip())
    assert path == Path("office_caltech10-sheet.png")
    with Image.open(path) as sheet:
        assert sheet.height == 22 + 4 * 100 + 4
        pixels = np.asarray(sheet)
    # Pictures in every domain's part, and none of the page's white alone.
    for part in np.array_split(pixels[30:, 150:], 4, axis=1):
        assert (part < 200).any()


def test_the_same_seed_draws_the_same_sheet(call: Call) -> None:
    cifar10_folders(Path("data"))
    made = []
    for seed, name in (("0", "a.png"), ("0", "b.png"), ("1", "c.png")):
        call("show", "cifar10", "--images", "1", "--seed", seed, "--out", name)
        made.append(Path(name).read_bytes())
    assert made[0] == made[1] != made[2]


def test_partition_draws_who_holds_what(call: Call) -> None:
    out, _ = call("partition", "digits", "--clients", "4", "--alpha", "0.3", "--out", "who.png")
    assert "4 clients" in out
    assert "classes a client" in out
    with Image.open("who.png") as picture:
        assert picture.width > 300
    call("partition", "digits", "--scenario", "iid", "--out", "who.pdf")
    assert Path("who.pdf").read_bytes().startswith(b"%PDF")


def test_partition_draws_one_at_a_time(call: Call) -> None:
    _, err = call("partition", "shapes_domains", "--hold-out", "each", code=2)
    assert "stands for 5 partitions" in err


def test_partition_writes_what_a_scenario_reads(call: Call) -> None:
    out, _ = call("partition", "digits", "--clients", "3", "--out", "a.png", "--write", "a.csv")
    assert out.splitlines()[-1] == "a.csv"
    again = ("partition", "digits", "--scenario", "file:./a.csv")
    out, _ = call(*again, "--out", "b.png", "--write", "b/b.csv")
    assert "3 clients" in out
    assert Path("b/b.csv").read_bytes() == Path("a.csv").read_bytes()
    assert "client 0,train," in Path("a.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("verify cifar11", "did you mean 'cifar10'"),
        ("verify folder", "write folder:PATH"),
        ("verify folder:nowhere", "there is no folder nowhere"),
        ("show digits --out sheet.gif", "end in .png"),
        ("show digits --classes 10 --images 5000", "lower --classes or --images"),
        ("partition digits --scenario domains", "no domains"),
        ("partition digits --scenario dommains", "There is no scenario 'dommains'"),
        ("partition digits --hold-out x", "--hold-out is no setting of the scenario personal"),
        ("partition digits --clients 0", "clients is 0"),
        ("partition digits --out who.txt", ".png, .pdf or .svg"),
        ("partition digits --write who.txt", "end in .csv or .json"),
        ("partition digits --scenario file", "write file:PATH"),
        ("partition digits --scenario file:who.csv", "the partition who.csv cannot be read (No"),
        ("download imagenet", "No program may download imagenet: register"),
        ("download digits", "nothing to download for digits"),
        ("download folder:photos", "nothing to download for folder:photos"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    call: Call, tmp_path: Path, arguments: str, said: str
) -> None:
    _, err = call(*arguments.split(), code=2)
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not list(Path().iterdir())

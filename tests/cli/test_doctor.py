"""doctor tells what is there and what can run; cache lists and clears what is ours."""

from __future__ import annotations

from importlib.metadata import metadata
from pathlib import Path

import pytest
import torch
from command_line import call

from fplbench.cli import doctor
from fplbench.cli.doctor import Machine, findings, readme, wanting, written
from fplbench.errors import UserError
from fplbench.machine import caches
from fplbench.plugins import registry

DATASETS = registry.datasets().classes


def machine(**changes: object) -> Machine:
    """All data sets, no weights, no network."""
    fields: dict[str, object] = {"weights": {}, "offline": "no network", "datasets": DATASETS}
    return Machine(**(fields | {"absent": {}} | changes))  # type: ignore[arg-type]


def test_every_command_of_the_readme_is_looked_at() -> None:
    found = written(readme())
    assert {"make demo", "make test", "fplbench demo"} <= set(found)
    assert len(found) >= 8
    assert not any("#" in line or "--preset" in line for line in found)
    assert written("text\n    make x   # why\n    fplbench run grid.yaml\n") == ["make x"]


def test_an_installed_package_carries_its_readme() -> None:
    assert written(str(metadata("fplbench").get_payload()))


@pytest.mark.parametrize(
    ("command", "changes", "wants"),
    [
        ("fplbench run --datasets shapes", {}, ""),
        ("fplbench run --datasets all", {"absent": {"dtd": "no"}}, ""),
        ("fplbench run --datasets dtd,shapes", {"absent": {"dtd": "no"}}, "data download dtd"),
        ("fplbench run --datasets shapes --backbone RN50:openai", {}, "RN50:openai: a network"),
        ("fplbench run --datasets shapes --backbone RN50:openai", {"offline": None}, ""),
        (
            "fplbench run --datasets shapes --backbone RN50:openai",
            {"weights": {"RN50:openai": Path("x")}},
            "",
        ),
        ("fplbench run --preset pfedmoap-table4", {}, "ViT-B-16:openai"),
        (
            "fplbench run --preset pfedmoap-table4 --backbone tiny",
            {"absent": {"office_caltech10": "no"}},
            "data download office_caltech10",
        ),
        ("fplbench run --preset pfedmoap-table4 --backbone tiny", {}, ""),
    ],
)
def test_a_command_wants_what_is_not_there(
    command: str, changes: dict[str, object], wants: str
) -> None:
    said = "; ".join(wanting(command, machine(**changes)))
    assert (wants in said) if wants else said == ""


def test_make_wants_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "call it in a checkout" in wanting("make demo", machine())


def test_what_is_wrong_has_a_remedy(tmp_path: Path) -> None:
    lines = {line.what: line for line in findings(machine(), tmp_path, tmp_path / "cache")}
    assert torch.__version__ in lines["torch"].found
    assert lines["network"].found == "no network"
    assert "a file as ARCH:PATH" in lines["network"].remedy
    assert "a file as ARCH:PATH" in lines["weights"].remedy
    assert lines["data sets"].remedy == ""
    assert str(tmp_path) in lines["data sets"].found
    fine = {line.what: line for line in findings(machine(offline=None), None, tmp_path)}
    assert fine["network"].remedy == ""
    assert "downloads them once" in fine["weights"].remedy


def test_a_full_disk_and_a_folder_of_others_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remedy() -> str:
        return next(f for f in findings(machine(), None, tmp_path) if f.what == "disk").remedy

    assert remedy() == ""
    monkeypatch.setattr(doctor, "LITTLE_SPACE", 10**18)
    assert "fplbench cache clear features" in remedy()
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert "FPLBENCH_CACHE" in remedy()


def test_doctor_runs_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    code, out, err = call(["doctor", "--data-root", str(tmp_path)], monkeypatch, capsys)
    assert (code, err) == (0, "")
    assert "digits, shapes, shapes_domains" in out
    assert "--preset fedpgp-table1" in out
    assert "data download oxford_pets" in out
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    for name, count in {
        "features/a.npy": 2000,
        "features/a.lock": 0,
        "datasets/x/i.npz": 7,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"0" * count)
    for kind in caches.KINDS:
        (folder / kind / caches.TAG).write_text(caches.SIGNATURE)
    (folder / "mine.txt").write_text("not fplbench's")
    monkeypatch.setenv("FPLBENCH_CACHE", str(folder))
    return folder


def test_caches_are_listed_with_their_sizes(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = call(["cache", "list"], monkeypatch, capsys)
    assert f"features: 2.0 kB in 1 file, {cache / 'features'}" in out
    assert "datasets: 7 bytes in 1 file" in out


def test_one_cache_is_cleared_and_what_is_not_ours_stays(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(["cache", "clear", "features"], monkeypatch, capsys)
    assert (code, out.strip()) == (0, "features: 1 file deleted, 2.0 kB")
    assert not (cache / "features").exists()
    assert (cache / "datasets" / "x" / "i.npz").exists()
    assert len(caches.clear(cache, ["all"])) == 2
    assert [path.name for path in cache.iterdir()] == ["mine.txt"]


def test_a_cache_of_another_name_is_refused_and_nothing_is_deleted(cache: Path) -> None:
    with pytest.raises(UserError, match=r"no cache 'mine\.txt'"):
        caches.clear(cache, ["features", "mine.txt"])
    assert (cache / "features" / "a.npy").exists()


def test_a_folder_that_is_not_known_to_be_ours_is_not_cleared(cache: Path, tmp_path: Path) -> None:
    """FPLBENCH_CACHE may name a folder with a `datasets` of the user's own."""
    (cache / "datasets" / caches.TAG).unlink()
    with pytest.raises(UserError, match="is not known to be fplbench's"):
        caches.clear(cache, ["all"])
    assert (cache / "datasets" / "x" / "i.npz").exists()
    assert (cache / "features" / "a.npy").exists()
    (cache / "features").rename(tmp_path / "elsewhere")
    (cache / "features").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="it is a link"):
        caches.clear(cache, ["features"])


def test_a_folder_that_we_make_is_marked_and_one_that_was_there_is_not(tmp_path: Path) -> None:
    assert (caches.own(tmp_path / "features") / caches.TAG).is_file()
    (tmp_path / "datasets" / "photos").mkdir(parents=True)
    assert not (caches.own(tmp_path / "datasets") / caches.TAG).exists()

"""Archives: what is sound is unpacked, what is hostile is refused and leaves nothing outside."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fplbench.data import archives
from fplbench.data.archives import unpack
from fplbench.errors import UserError


def tar(
    path: Path, *members: tarfile.TarInfo, content: bytes = b"harm", mode: str = "w:gz"
) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    return path


def named(name: str, **fields: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(member, field, value)
    return member


def zipped(path: Path, name: str, kind: int = 0, content: bytes = b"harm") -> Path:
    info = zipfile.ZipInfo("x")
    info.filename = name  # as it is, without zipfile's own cleaning
    info.external_attr = (kind | 0o644) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, content)
    return path


LINK = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
HARD = {"type": tarfile.LNKTYPE, "linkname": "../../secret"}

HOSTILE: dict[str, Callable[[Path], Path]] = {
    "tar-up": lambda p: tar(p / "a.tar.gz", named("data/../../harm.jpg")),
    "tar-absolute": lambda p: tar(p / "a.tar", named(str(p / "harm.jpg")), mode="w"),
    "tar-link": lambda p: tar(p / "a.tgz", named("images", **LINK), named("images/harm")),
    "tar-link-inside": lambda p: tar(p / "a.tgz", named("a", type=tarfile.SYMTYPE, linkname="b")),
    "tar-hard-link": lambda p: tar(p / "a.tar.gz", named("harm.jpg", **HARD)),
    "tar-device": lambda p: tar(p / "a.tar.gz", named("null", type=tarfile.CHRTYPE)),
    "tar-fifo": lambda p: tar(p / "a.tar.gz", named("pipe", type=tarfile.FIFOTYPE)),
    "zip-up": lambda p: zipped(p / "a.zip", "../harm.jpg"),
    "zip-absolute": lambda p: zipped(p / "a.zip", "/tmp/harm.jpg"),
    "zip-windows": lambda p: zipped(p / "a.zip", "C:\\harm.jpg"),
    "zip-backslash": lambda p: zipped(p / "a.zip", "..\\harm.jpg"),
    "zip-link": lambda p: zipped(p / "a.zip", "images", stat.S_IFLNK, b"/etc"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused_by_the_name_of_the_member(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    archive = HOSTILE[kind](source)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="is refused: its member"):
        unpack(archive, tmp_path / "target")
    made = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(tmp_path / "target") for path in made)
    assert not any(path.is_symlink() or path.name.startswith("harm") for path in made)


@given(st.text(st.sampled_from("ab./\\:~"), min_size=1, max_size=12))
def test_whatever_a_member_is_called_it_stays_inside(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.mktemp("unpack")
    target = folder / "deep" / "target"
    for archive in (tar(folder / "a.tar.gz", named(name)), zipped(folder / "a.zip", name)):
        try:
            unpack(archive, target)
        except UserError:
            pass
        else:
            assert target.is_dir()
    outside = {path for path in folder.rglob("*") if path.is_file()} - set(target.rglob("*"))
    assert outside == {folder / "a.tar.gz", folder / "a.zip"}


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "zip"])
def test_sound_archives_are_unpacked_without_what_macos_adds(tmp_path: Path, ending: str) -> None:
    archive = tmp_path / f"a.{ending}"
    content = b"picture" * 1000
    if ending == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
            for name in ("data/images/1.jpg", "__MACOSX/data/._1.jpg"):
                made.writestr(name, content)
    else:
        mode = "w:" + {"tar": "", "tgz": "gz"}.get(ending, ending.removeprefix("tar."))
        members = (named("data/images/1.jpg"), named("__MACOSX/data/._1.jpg"))
        tar(archive, *members, content=content, mode=mode)
    seen: list[tuple[int, int]] = []
    unpack(archive, tmp_path / "target", lambda done, whole: seen.append((done, whole)))
    assert [p for p in (tmp_path / "target").rglob("*") if p.is_file()] == [
        tmp_path / "target" / "data" / "images" / "1.jpg"
    ]
    assert (tmp_path / "target" / "data" / "images" / "1.jpg").read_bytes() == content
    assert seen
    assert all(done <= whole for done, whole in seen)


@pytest.mark.parametrize("ending", ["tar.gz", "tar.xz", "zip", "tar"])
@pytest.mark.parametrize("damage", ["torn", "empty", "page"])
def test_a_damaged_archive_is_said_to_be_one(tmp_path: Path, ending: str, damage: str) -> None:
    sound = (
        zipped(tmp_path / "a.zip", "a.jpg", content=bytes(5000))
        if ending == "zip"
        else tar(
            tmp_path / f"a.{ending}",
            named("a.jpg"),
            content=bytes(range(256)) * 200,
            mode="w:" + ending.removeprefix("tar").removeprefix("."),
        )
    )
    whole = sound.read_bytes()
    broken = {"torn": whole[: len(whole) // 2], "empty": b"", "page": b"<html>Sorry</html>" * 99}
    sound.write_bytes(broken[damage])
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(sound, tmp_path / "target")


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ALLOWANCE", 1000)
    bomb = tar(tmp_path / "a.tar.gz", named("a.jpg"), content=bytes(10**6))
    with pytest.raises(UserError, match="more than 100 times its size"):
        unpack(bomb, tmp_path / "target")

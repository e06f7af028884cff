"""Writing aside: a file is whole or the one from before."""

from __future__ import annotations

from pathlib import Path

import pytest

from fplbench.records.atomic import write_aside


@pytest.mark.parametrize("alone", [False, True])
def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path, alone: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with write_aside(path, alone) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    with pytest.raises(KeyboardInterrupt):
        _write_half(path, alone)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def _write_half(path: Path, alone: bool) -> None:
    with write_aside(path, alone) as file:
        file.write(b"half")
        raise KeyboardInterrupt


def test_who_writes_alone_writes_over_what_a_killed_process_left(tmp_path: Path) -> None:
    (tmp_path / ".file.partial").write_bytes(b"left behind, and longer")
    with write_aside(tmp_path / "file", alone=True) as file:
        file.write(b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"new"

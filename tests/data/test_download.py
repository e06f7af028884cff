"""Downloads from a real server on this machine: resumed, checked, moved in only when whole."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from fplbench.data.download import fetch, install
from fplbench.data.on_disk import Counts, Download, Layout, OnDisk
from fplbench.data.progress import unwatched
from fplbench.data.splits import OFFICIAL, train_test_folders
from fplbench.errors import UserError

NOWAIT = (0.0, 0.0)
CONTENT = np.random.default_rng(0).bytes(300_000)


class Server(ThreadingHTTPServer):
    """files: path -> content. cut: bytes after which an answer ends, once for each entry.
    ranges: whether parts are served. asked: path and Range of every request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/file.bin": CONTENT}
        self.cut: list[int] = []
        self.broken = 0
        self.ranges = True
        self.asked: list[tuple[str, str | None]] = []

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append((self.path, asked))
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        if self.server.broken:
            self.server.broken -= 1
            self.send_error(503)
            return
        start = 0
        if asked is not None and self.server.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        self.wfile.write(body[: self.server.cut.pop(0)] if self.server.cut else body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


def get(server: Server, aside: Path, checksum: str = md5(CONTENT), name: str = "file.bin") -> Path:
    return fetch(Download(server.url(name), checksum), aside, unwatched, print, NOWAIT)


def test_a_file_arrives_whole_and_is_not_fetched_twice(server: Server, tmp_path: Path) -> None:
    assert get(server, tmp_path).read_bytes() == CONTENT
    get(server, tmp_path)
    assert server.asked == [("/file.bin", None)]
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_a_cut_connection_is_taken_up_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.cut = [100_000, 50_000]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert [part for _, part in server.asked] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_killed_download_is_taken_up_by_the_next_command(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.partial").write_bytes(CONTENT[:1234])
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/file.bin", "bytes=1234-")]


def test_a_partial_file_that_is_whole_already_is_taken(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.partial").write_bytes(CONTENT)
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_a_server_without_parts_begins_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "file.bin.partial").write_bytes(b"x" * 999)
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_the_beginning_of_another_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.partial").write_bytes(b"an older file" * 10)
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert [part for _, part in server.asked] == ["bytes=130-", None]


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.broken = 2
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_the_file_deleted(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not the file that was published \(md5 .* instead of"):
        get(server, tmp_path, md5(b"another"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"), [("gone.bin", "answers 404"), ("file.bin", "cannot be downloaded")]
)
def test_what_cannot_be_had_is_said_in_a_sentence(
    server: Server, tmp_path: Path, name: str, said: str
) -> None:
    server.broken = 99
    with pytest.raises(UserError, match=said):
        get(server, tmp_path, name=name)


def test_only_web_addresses_are_fetched(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no address"):
        fetch(Download("file:///etc/passwd"), tmp_path, unwatched, print, NOWAIT)


def packed(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class Toys(OnDisk):
    """A data set that a server on this machine has: an archive with one inside, and a list."""

    name: ClassVar = "toys"
    title: ClassVar = "Toys"
    summary: ClassVar = "toys"
    source: ClassVar = "this test"
    licence: ClassVar = "none"
    classes: ClassVar = 1
    images: ClassVar = 2
    counts: ClassVar = {OFFICIAL: Counts(1, 1)}
    layouts: ClassVar = (Layout("toys", ("train", "test", "list.txt"), train_test_folders),)


@pytest.fixture
def toys(server: Server) -> type[Toys]:
    inner = packed({"test/cat/1.jpg": b"2"})
    files = {
        "/toys.tar.gz": packed({"toys/train/cat/0.jpg": b"1", "toys/inner.tar.gz": inner}),
        "/list.txt": b"cat\n",
    }
    server.files |= files
    downloads = (
        Download(
            server.url("toys.tar.gz"), md5(files["/toys.tar.gz"]), inner=("toys/inner.tar.gz",)
        ),
        Download(server.url("list.txt"), md5(files["/list.txt"]), into="toys"),
    )
    return type("LocalToys", (Toys,), {"downloads": downloads})


def everything(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_data_set_is_installed_in_its_place(toys: type[Toys], tmp_path: Path) -> None:
    said: list[str] = []
    place = install(toys, tmp_path / "new", unwatched, said.append, waits=NOWAIT)
    assert place == tmp_path / "new" / "toys"
    assert everything(place) == ["list.txt", "test/cat/1.jpg", "train/cat/0.jpg"]
    assert everything(tmp_path / "new" / ".downloads") in ([], ["toys.lock"])
    assert any("licence: none" in line for line in said)
    assert install(toys, tmp_path / "new", unwatched, said.append) == place
    assert "is there already" in said[-1]


def test_files_that_lie_there_are_completed(toys: type[Toys], tmp_path: Path) -> None:
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "mine.txt").write_text("stays")
    install(toys, tmp_path, unwatched, print, keep=True, waits=NOWAIT)
    assert "mine.txt" in everything(tmp_path / "toys")
    assert (tmp_path / ".downloads" / "toys" / "toys.tar.gz").exists()


def test_a_hostile_archive_leaves_no_data_set(
    toys: type[Toys], server: Server, tmp_path: Path
) -> None:
    harm = packed({"toys/train/cat/0.jpg": b"1", "../../harm": b"2"})
    server.files["/toys.tar.gz"] = harm
    first = Download(server.url("toys.tar.gz"), md5(harm))
    hostile = type("Hostile", (toys,), {"downloads": (first, toys.downloads[1])})
    with pytest.raises(UserError, match="leads out of the folder"):
        install(hostile, tmp_path / "root", unwatched, print, waits=NOWAIT)
    assert not (tmp_path / "harm").exists()
    assert not (tmp_path / "root" / "toys").exists()
    assert not (tmp_path / "root" / ".downloads" / "toys" / "unpacked").exists()


def test_an_archive_of_another_shape_is_said_to_be_one(
    toys: type[Toys], server: Server, tmp_path: Path
) -> None:
    other = packed({"elsewhere/a.jpg": b"1"})
    server.files["/toys.tar.gz"] = other
    first = Download(server.url("toys.tar.gz"), md5(other))
    changed = type("Changed", (toys,), {"downloads": (first, toys.downloads[1])})
    with pytest.raises(UserError, match="not the expected folders"):
        install(changed, tmp_path, unwatched, print, waits=NOWAIT)

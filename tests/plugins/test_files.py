"""Settings that name a file: its content is part of a cell, and nobody takes another one for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from fplbench.errors import UserError
from fplbench.plugins.base import Settings, refusals
from fplbench.plugins.files import UserFile, json_of, text_of


class Config(Settings):
    words: UserFile = Field("", description="A file, for a test.")


def refused(value: str) -> str:
    with pytest.raises(ValidationError) as caught:
        Config(words=value)
    (sentence,) = refusals(caught.value, "method mine")
    return sentence


def test_the_hash_of_the_content_stands_behind_the_path(tmp_path: Path) -> None:
    path = tmp_path / "words # 1.txt"
    path.write_text("cat\n")
    first = Config(words=str(path)).words
    assert first.removeprefix(str(path)) == "#175cc6f362b2"
    assert Config(words=first).words == first
    assert text_of(first) == "cat\n"
    path.write_text("dog\n")
    assert Config(words=str(path)).words != first
    assert Config().words == ""


def test_another_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("cat")
    setting = Config(words=str(path)).words
    path.write_text("dog")
    sentence = refused(setting)
    assert sentence.startswith(f"words={setting!r} is refused (method mine): the content of")
    assert "name the file without a hash and run anew" in sentence
    with pytest.raises(UserError, match="bring the old content back"):
        text_of(setting)


def test_a_run_that_has_read_a_file_goes_on_with_what_it_read(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("cat")
    setting = Config(words=str(path)).words
    assert text_of(setting) == "cat"
    path.write_text("dog")
    assert text_of(setting) == "cat"


@pytest.mark.parametrize("name", ["absent.txt", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    sentence = refused(str(tmp_path / name))
    assert "cannot be read from" in sentence
    assert str(tmp_path) in sentence


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff\xfea", "is no text in UTF-8"),
        (b"{'a': 1}", "is no JSON"),
        (b'{"b": {"a": 1, "c": 2, "a": 3}}', "has 'a' more than once"),
    ],
)
def test_what_is_no_json_is_said(content: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=why) as caught:
        json_of(Config(words=str(path)).words)
    assert str(path) in str(caught.value)


def test_json_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": ["b"]}')
    assert json_of(Config(words=str(path)).words) == {"a": ["b"]}

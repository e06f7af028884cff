"""Preparation: one list of what is wrong, files read once, a fingerprint of their contents."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import class_tree, picture
from PIL import Image

from fplbench.data import prepare as module
from fplbench.data.prepare import prepare, prepared
from fplbench.data.verify import verify
from fplbench.dataset import Data
from fplbench.datasets.folder import Folder, FolderDomains
from fplbench.errors import UserError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    class_tree(tmp_path / "photos" / "train", {"cat": 4, "sea_horse": 3})
    class_tree(tmp_path / "photos" / "test", {"cat": 2, "sea_horse": 2})
    return tmp_path / "photos"


def load(photos: Path, skip_broken: bool = False) -> Data:
    cls = Folder.of(str(photos))
    return prepared(cls, None, photos.parent / "cache", skip_broken)


def test_sound_files_are_all_there_without_a_note(photos: Path) -> None:
    data = load(photos)
    assert data.classnames == ("cat", "sea horse")
    assert data.train.labels.tolist() == [0] * 4 + [1] * 3
    assert len(data.test.images) == 4
    assert data.notes == ()


def test_all_unusable_files_are_named_in_one_refusal(photos: Path) -> None:
    (photos / "train" / "cat" / "1.jpg").write_bytes(b"")
    (photos / "test" / "cat" / "1.jpg").write_text("no picture")
    (photos / "train" / "cat" / "phone.heic").write_bytes(b"\0" * 50)
    with pytest.raises(UserError, match="3 images cannot be used") as caught:
        load(photos)
    for part in ("train/cat/1.jpg is empty", "test/cat/1.jpg is no image", "phone.heic is no"):
        assert part in str(caught.value)
    assert "--skip-broken" in str(caught.value)


def test_more_than_ten_are_listed_in_a_file(photos: Path) -> None:
    for number in range(12):
        (photos / "train" / "cat" / f"bad{number}.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="and 2 more, all of them in") as caught:
        load(photos)
    whole = Path(str(caught.value).rpartition("in ")[2])
    assert len(whole.read_text().splitlines()) == 12


def test_skipping_leaves_them_out_and_says_how_many(photos: Path) -> None:
    before = load(photos)
    (photos / "train" / "cat" / "1.jpg").write_bytes(b"")
    data = load(photos, skip_broken=True)
    assert data.train.labels.tolist() == [0] * 3 + [1] * 3
    assert [np.asarray(image).shape for image in data.train.images] == [(10, 12, 3)] * 6
    assert data.notes == ("1 image unusable and left out (--skip-broken)",)
    assert data.fingerprint != before.fingerprint


def test_odd_files_are_counted_by_kind(photos: Path) -> None:
    Image.new("CMYK", (8, 8)).save(photos / "train" / "cat" / "print.jpg")
    Image.new("RGBA", (8, 8)).save(photos / "test" / "cat" / "logo.png")
    (note,) = load(photos).notes
    assert "1 CMYK" in note
    assert "1 alpha" in note


def test_the_fingerprint_is_of_contents_names_and_labels(photos: Path) -> None:
    first = load(photos).fingerprint
    assert load(photos).fingerprint == first
    picture(photos / "train" / "cat" / "1.jpg", "another picture")
    changed = load(photos).fingerprint
    os.rename(photos / "train" / "cat" / "2.jpg", photos / "train" / "cat" / "9.jpg")
    assert len({first, changed, load(photos).fingerprint}) == 3


def test_a_second_look_reads_only_what_changed(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(photos)
    read: list[Path] = []
    examine = module.examine
    monkeypatch.setattr(module, "examine", lambda path: read.append(path) or examine(path))
    load(photos)
    assert read == []
    (photos / "train" / "cat" / "1.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="1 image cannot be used"):
        load(photos)
    assert read == [photos / "train" / "cat" / "1.jpg"]


def test_an_interruption_keeps_what_was_examined(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_AFTER", 2)
    monkeypatch.setattr(module, "READERS", 1)
    read: list[Path] = []
    examine = module.examine

    def interrupted(path: Path) -> object:
        if len(read) == 5:
            raise KeyboardInterrupt
        read.append(path)
        return examine(path)

    monkeypatch.setattr(module, "examine", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(photos)
    monkeypatch.setattr(module, "examine", lambda path: read.append(path) or examine(path))
    load(photos)
    assert len(read) == 5 + 11 - 4


def test_a_damaged_index_is_made_again(photos: Path) -> None:
    first = load(photos).fingerprint
    (index,) = (photos.parent / "cache").rglob("checked-*.npz")
    index.write_bytes(index.read_bytes()[:-40])
    assert load(photos).fingerprint == first


def test_what_verify_read_is_not_read_again(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training and test files share an index; reading one anew must not forget the other."""
    verify(Folder.of(str(photos)), None, photos.parent / "cache")
    monkeypatch.setattr(module, "examine", lambda path: pytest.fail(f"{path} was read again"))
    assert len(load(photos).train.images) == 7


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("train/cat", "leaves no training images of cat"),
        ("test/sea_horse", "leaves no test images of sea horse"),
        ("train", "training images of cat; training images of sea horse"),
    ],
)
def test_skipping_may_not_empty_a_class(photos: Path, broken: str, said: str) -> None:
    for path in (photos / broken).rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=said):
        load(photos, skip_broken=True)


def test_skipping_may_not_empty_a_domain(tmp_path: Path) -> None:
    class_tree(tmp_path / "d" / "ink" / "train", {"cat": 2, "dog": 2})
    class_tree(tmp_path / "d" / "ink" / "test", {"cat": 1, "dog": 1})
    class_tree(tmp_path / "d" / "photo", {"cat": 4, "dog": 4})
    for path in (tmp_path / "d" / "ink" / "test").rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="leaves no test images of the domain ink"):
        prepared(FolderDomains.of(str(tmp_path / "d")), None, tmp_path / "cache", True)


def test_classes_of_one_name_are_noted_where_they_are_published_so(photos: Path) -> None:
    data = replace(load(photos), classnames=("missile", "Missile"))
    (note,) = prepare(data, photos.parent / "cache").notes
    assert "'missile' and 'Missile' have one name in a prompt" in note

"""Which level of a tree of pictures is what: people's layouts are read, or refused with a way out;
none becomes a wrong list of classes without a word."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pictures import class_tree, picture

from fplbench import registry
from fplbench.data.levels import roles
from fplbench.data.names import alike
from fplbench.data.understood import understood
from fplbench.dataset import Data
from fplbench.errors import UserError

BOTH = {"cat": 4, "dog": 4}


def load(name: str) -> Data:
    cls = registry.datasets().get(name)
    assert cls().missing(None) is None
    return cls().load(None, Path("unused"))


def tree(root: Path, *folders: str) -> Path:
    """A cat and a dog folder, four pictures each, in each of these folders."""
    for folder in folders:
        class_tree(root / folder, BOTH)
    return root


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("Training", "Testing"),
        ("TRAIN", "VAL"),
        ("train", "valid"),
        ("training_set", "test_set"),
        ("train_images", "validation_images"),
        ("train2017", "val2017"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("cars-train", "cars-test"),
        ("train/images", "test/images"),
        ("data/train", "data/test"),
    ],
)
def test_a_split_is_known_in_every_spelling(tmp_path: Path, train: str, test: str) -> None:
    tree(tmp_path, train, test)
    data = load(f"folder:{tmp_path}")
    assert data.classnames == ("cat", "dog")
    assert Counter(data.train.labels.tolist()) == Counter(data.test.labels.tolist()) == {0: 4, 1: 4}
    assert data.split_source.startswith("the folders ")
    assert all(name.startswith(train) for name in data.train.images.names)  # type: ignore[attr-defined]


def test_what_is_left_aside_is_said(tmp_path: Path) -> None:
    tree(tmp_path, "train", "test", "val")
    picture(tmp_path / "train" / "stray.jpg")
    aside, loose = sorted(load(f"folder:{tmp_path}").notes, reverse=True)
    assert "only train and test are read, not val (8 images)" in aside
    assert loose.startswith("1 image lies beside the folders of")
    (tmp_path / "seg_pred").mkdir()
    assert "seg_pred (0 images)" in load(f"folder:{tmp_path}").notes[0]


def test_a_test_folder_without_classes_gives_way_to_a_labelled_one(tmp_path: Path) -> None:
    tree(tmp_path, "train", "valid")
    picture(tmp_path / "test" / "1.jpg")
    data = load(f"folder:{tmp_path}")
    assert data.split_source == "the folders train and valid"
    assert "not test (1 images)" in data.notes[0]


@pytest.mark.parametrize(
    "folders",
    [
        ("Test", "cat", "dog"),
        ("train", "cat", "dog"),
        ("validation", "cat"),
        ("train", "Train", "test"),
        ("train", "test", "testing"),
    ],
)
def test_folders_that_may_be_a_split_are_refused_with_a_way_out(
    tmp_path: Path, folders: tuple[str, ...]
) -> None:
    class_tree(tmp_path, dict.fromkeys(folders, 2))
    with pytest.raises(UserError, match=r"\{class\}") as caught:
        load(f"folder:{tmp_path}")
    assert folders[0] in str(caught.value)
    data = (
        load(f"folder:{tmp_path}/{{class}}")
        if len(folders) == len({alike(f) for f in folders})
        else None
    )
    assert data is None or sorted(data.classnames) == sorted(folders)


def test_pictures_without_labels_are_no_split(tmp_path: Path) -> None:
    for part in ("train", "test"):
        picture(tmp_path / part / "1.jpg")
    with pytest.raises(UserError, match="its images have no labels"):
        load(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    "folders",
    [
        ("animals", "vehicles"),  # superclasses, or domains
        ("photo/train", "photo/test", "sketch/train", "sketch/test"),
        ("a/b/c", "d/e/f"),
    ],
)
def test_pictures_deeper_than_the_classes_are_refused(
    tmp_path: Path, folders: tuple[str, ...]
) -> None:
    tree(tmp_path, *folders)
    with pytest.raises(UserError, match=r"nothing says which are the classes") as caught:
        load(f"folder:{tmp_path}")
    for way in ("/{class}", "/{any}/{class}", f"folder_domains:{tmp_path}"):
        assert way in str(caught.value)


def test_a_pattern_settles_what_the_levels_are(tmp_path: Path) -> None:
    class_tree(tmp_path / "animals", BOTH)
    class_tree(tmp_path / "vehicles", {"car": 4, "bus": 4})
    assert load(f"folder:{tmp_path}/{{class}}").classnames == ("animals", "vehicles")
    fine = load(f"folder:{tmp_path}/{{any}}/{{class}}")
    assert fine.classnames == ("bus", "car", "cat", "dog")
    assert load(f"folder:{tmp_path}/animals/{{class}}").classnames == ("cat", "dog")


def test_a_pattern_names_splits_and_domains_in_any_order(tmp_path: Path) -> None:
    tree(tmp_path, "photo/pics/Train", "photo/pics/Test", "ink/pics/Train", "ink/pics/Test")
    data = load(f"folder_domains:{tmp_path}/{{domain}}/pics/{{split}}/{{class}}")
    assert (data.classnames, data.domains) == (("cat", "dog"), ("ink", "photo"))
    assert len(data.train.labels) == len(data.test.labels) == 16


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("folder:{}/{class}/{any}", "its last level is {class}"),
        ("folder:{}/{any}", "its last level is {class}"),
        ("folder:{}/{domain}/{class}", "is for folder_domains"),
        ("folder_domains:{}/{class}", "has one {domain}"),
        ("folder:{}/x{any}/{class}", "named alone"),
        ("folder:{}/{split}/{class}", "no train and test"),
        ("folder:{}/{any}/nowhere/{class}", "there is no folder"),
    ],
)
def test_a_pattern_that_fits_nothing_is_refused(tmp_path: Path, pattern: str, said: str) -> None:
    class_tree(tmp_path, BOTH)
    with pytest.raises(UserError, match=said.replace("{", r"\{")):
        load(pattern.replace("{}", str(tmp_path)))


def test_a_folder_inside_each_class_that_only_wraps_is_passed_through(tmp_path: Path) -> None:
    class_tree(tmp_path, {"cat/images": 3, "dog/images": 3})
    data = load(f"folder:{tmp_path}")
    assert data.classnames == ("cat", "dog")
    assert "cat/images, dog/images" in data.notes[0]


def test_annotations_beside_images_are_no_class(tmp_path: Path) -> None:
    class_tree(tmp_path, {"images": 3, "annotations/trimaps": 3})
    with pytest.raises(UserError, match="annotations reads like no class"):
        load(f"folder:{tmp_path}")


def test_domains_may_have_their_images_a_level_deeper(tmp_path: Path) -> None:
    """Office-31 as it is published."""
    tree(tmp_path, "amazon/images", "webcam/images")
    data = load(f"folder_domains:{tmp_path}")
    assert (data.classnames, data.domains) == (("cat", "dog"), ("amazon", "webcam"))


def test_splits_may_lie_above_the_domains(tmp_path: Path) -> None:
    tree(tmp_path, "Train/photo", "Train/ink", "Test/photo", "Test/ink")
    data = load(f"folder_domains:{tmp_path}")
    assert data.domains == ("ink", "photo")
    assert data.test.domains is not None
    assert Counter(data.test.domains.tolist()) == {0: 8, 1: 8}
    assert data.split_source == "the folders Train and Test"


def test_a_tree_without_domains_is_not_taken_for_one_with(tmp_path: Path) -> None:
    class_tree(tmp_path, BOTH)
    with pytest.raises(UserError, match=rf"Without domains write folder:{tmp_path}"):
        load(f"folder_domains:{tmp_path}")


def test_a_single_class_is_no_data_set(tmp_path: Path) -> None:
    class_tree(tmp_path, {"photo/images": 3, "ink/images": 3})
    with pytest.raises(UserError, match="reads like no class"):
        load(f"folder_domains:{tmp_path}")
    with pytest.raises(UserError, match="only the class images"):
        load(f"folder_domains:{tmp_path}/{{domain}}/{{class}}")


def test_a_domain_without_a_class_is_noted(tmp_path: Path) -> None:
    class_tree(tmp_path / "photo", BOTH)
    class_tree(tmp_path / "ink", {"cat": 4, "dog": 4, "owl": 4})
    assert load(f"folder_domains:{tmp_path}").notes == ("the domain photo has no owl",)


def test_a_class_without_training_images_is_refused_and_one_without_test_images_noted(
    tmp_path: Path,
) -> None:
    tree(tmp_path, "train", "test")
    class_tree(tmp_path / "train", {"owl": 2})
    assert load(f"folder:{tmp_path}").notes == ("no test images of owl",)
    class_tree(tmp_path / "test", {"yak": 2})
    (tmp_path / "train" / "yak").mkdir()
    with pytest.raises(UserError, match=r"lack \(yak\)"):
        load(f"folder:{tmp_path}")


def test_roles_of_folders() -> None:
    assert roles(["trainer", "cat"]) == {}
    assert roles(["toy_train", "model_train", "car"]) == {}
    assert roles(["Trainingset", "DEV"]) == {"train": ["Trainingset"], "val": ["DEV"]}


CAFE = "caf\u00e9"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (CAFE, unicodedata.normalize("NFD", CAFE)),
        ("blue_jay", "blue jay"),
        ("Blue_Jay", "blue_jay"),
        ("\uff43\uff41\uff54", "cat"),  # full width
        ("blue_jay", "blue__jay "),
        ("ze\u200bbra", "zebra"),
    ],
)
def test_names_that_read_alike_are_one_class_between_places_and_refused_in_one(
    tmp_path: Path, one: str, other: str
) -> None:
    for kind in ("folder", "folder_domains"):
        root = tmp_path / kind
        parts = ("train", "test") if kind == "folder" else ("ink", "photo")
        class_tree(root / parts[0], {one: 3, "dog": 3})
        class_tree(root / parts[1], {other: 3, "dog": 3})
        data = load(f"{kind}:{root}")
        assert len(data.classnames) == 2
        labels = np.concatenate([data.train.labels, data.test.labels])
        assert Counter(labels.tolist()) == {0: 6, 1: 6}
    class_tree(tmp_path / "both", {one: 3, other: 3, "dog": 3})
    with pytest.raises(UserError, match="are one name in a prompt"):
        load(f"folder:{tmp_path / 'both'}")


def test_a_reader_is_told_which_spellings_were_taken_as_one(tmp_path: Path) -> None:
    class_tree(tmp_path / "train", {"Cat": 2, "dog": 2})
    class_tree(tmp_path / "test", {"cat": 2, "dog": 2})
    (note,) = load(f"folder:{tmp_path}").notes
    assert note.endswith("one class: Cat = cat")


def test_two_domains_of_one_name_are_refused(tmp_path: Path) -> None:
    tree(tmp_path, CAFE, unicodedata.normalize("NFD", CAFE))
    with pytest.raises(UserError, match="one name to a reader"):
        load(f"folder_domains:{tmp_path}")


def test_names_from_a_mac_give_the_same_data(tmp_path: Path) -> None:
    found = set()
    for form in ("NFC", "NFD"):
        for name in (CAFE, "cafz"):
            for number in range(5):
                file = unicodedata.normalize(form, f"{name}/{CAFE}{number}.jpg")
                picture(tmp_path / form / file, f"{name} {number}")
        data = load(f"folder:{tmp_path / form}")
        assert data.classnames == ("cafz", CAFE)
        found.add(data.fingerprint)
    assert len(found) == 1


@pytest.mark.parametrize("name", [b"v\xf6gel", b"_", b" "])
def test_a_name_that_is_no_text_is_refused_by_name(tmp_path: Path, name: bytes) -> None:
    class_tree(tmp_path, BOTH)
    os.rename(os.fsencode(tmp_path / "dog"), os.fsencode(tmp_path) + b"/" + name)
    with pytest.raises(UserError, match=r"v\\xf6gel, whose name is not UTF-8|no name for a prompt"):
        load(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    "litter",
    [
        "lost+found",
        "System Volume Information",
        "$RECYCLE.BIN",
        "#recycle",
        "@eaDir",
        "@Recycle",
        ".AppleDouble",
        "__MACOSX",
        "Network Trash Folder",
        "FOUND.000",
    ],
)
def test_what_systems_leave_is_passed_over_at_every_level(tmp_path: Path, litter: str) -> None:
    tree(tmp_path, "photo/train", "photo/test", "ink")
    before = load(f"folder_domains:{tmp_path}")
    for place in (".", "photo", "photo/train", "photo/train/cat", "ink/dog"):
        class_tree(tmp_path / place / litter, {"0.jpg": 2})
        for file in ("Thumbs.db", "desktop.ini", "._0.jpg", "0.jpg:Zone.Identifier"):
            (tmp_path / place / file).write_bytes(b"x")
    after = load(f"folder_domains:{tmp_path}")
    assert (after.fingerprint, after.notes) == (before.fingerprint, before.notes)


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("cat/all", ".."),
        ("cat/self", "self"),
        ("all", "."),
        ("cat/a/up", "../.."),
        ("cat/ping", "pong"),
    ],
)
def test_links_in_a_circle_are_passed_over(tmp_path: Path, link: str, target: str) -> None:
    class_tree(tmp_path, BOTH)
    before = load(f"folder:{tmp_path}").fingerprint
    path = tmp_path / link
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target)
    if target == "pong":
        (path.parent / "pong").symlink_to("ping")
    assert load(f"folder:{tmp_path}").fingerprint == before


def test_a_folder_is_read_once_by_whatever_links(tmp_path: Path) -> None:
    class_tree(tmp_path / "d", {"cat/more": 3, "cat": 3, "dog": 6})
    (tmp_path / "d" / "cat" / "again").symlink_to("more")
    data = load(f"folder:{tmp_path / 'd'}")
    assert len(data.train.labels) + len(data.test.labels) == 12
    (tmp_path / "d" / "kitty").symlink_to("cat")
    with pytest.raises(UserError, match="are one folder, by a link"):
        load(f"folder:{tmp_path / 'd'}")


def test_what_was_understood_has_classes_domains_counts_and_two_examples(tmp_path: Path) -> None:
    tree(tmp_path, "ink", "photo")
    line = understood("folder_domains:d", load(f"folder_domains:{tmp_path}"))
    assert line.startswith(
        "folder_domains:d: 2 classes (cat, dog), 2 domains (ink, photo), 12 training and 4 test "
    )
    assert "is 'cat' in ink and photo/dog/" in line or "is 'cat' in ink and ink/dog/" in line

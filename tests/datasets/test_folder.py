"""folder:PATH and folder_domains:PATH: a user's own pictures."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pictures import class_tree

from fplbench.dataset import Data
from fplbench.errors import UserError
from fplbench.plugins import registry


def load(name: str) -> Data:
    cls = registry.datasets().get(name)
    assert cls.name == name
    assert cls().missing(None) is None
    return cls().load(None, Path("unused"))


def test_train_and_test_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    class_tree(tmp_path / "train", {"dog": 3, "arctic_fox": 2})
    class_tree(tmp_path / "test", {"dog": 1, "arctic_fox": 1})
    (tmp_path / "train" / "dog" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "train" / "dog" / "notes.txt").write_text("x")
    data = load(f"folder:{tmp_path}")
    assert data.classnames == ("arctic fox", "dog")
    assert Counter(data.train.labels.tolist()) == {0: 2, 1: 3}
    assert data.split_source == "the folders train and test"


def test_folders_inside_a_class_belong_to_it(tmp_path: Path) -> None:
    class_tree(tmp_path, {"cat": 3, "dog/holidays/2019": 4, "dog": 2})
    data = load(f"folder:{tmp_path}")
    assert data.classnames == ("cat", "dog")
    assert len(data.train.labels) + len(data.test.labels) == 9


def test_a_validation_folder_stands_in_for_a_test_folder(tmp_path: Path) -> None:
    class_tree(tmp_path / "train", {"a": 2, "b": 2})
    class_tree(tmp_path / "val", {"a": 1, "b": 1})
    assert load(f"folder:{tmp_path}").split_source == "the folders train and val"


def test_classes_alone_are_split_by_a_seed_that_is_recorded(tmp_path: Path) -> None:
    class_tree(tmp_path / "here", {"a": 10, "b": 20, "c": 2})
    data = load(f"folder:{tmp_path / 'here'}")
    assert Counter(data.train.labels.tolist()) == {0: 7, 1: 14, 2: 1}
    assert Counter(data.test.labels.tolist()) == {0: 3, 1: 6, 2: 1}
    assert "seed 0" in data.split_source
    shutil.copytree(tmp_path / "here", tmp_path / "copy")
    assert load(f"folder:{tmp_path / 'copy'}").fingerprint == data.fingerprint


def test_domains_lie_above_the_classes(tmp_path: Path) -> None:
    class_tree(tmp_path / "photo", {"cat": 10, "dog": 10})
    class_tree(tmp_path / "sketch" / "train", {"cat": 4, "dog": 5})
    class_tree(tmp_path / "sketch" / "test", {"cat": 2, "dog": 3})
    data = load(f"folder_domains:{tmp_path}")
    assert data.domains == ("photo", "sketch")
    assert data.train.domains is not None
    found = Counter(zip(data.train.domains.tolist(), data.train.labels.tolist(), strict=True))
    assert found == {(0, 0): 7, (0, 1): 7, (1, 0): 4, (1, 1): 5}
    sketch = data.train.domains == 1
    names = np.array(data.train.images.names)[sketch]  # type: ignore[attr-defined]
    assert all(name.startswith("sketch/train/") for name in names)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({}, "holds no folders: give it"),
        ({"one": 3}, "holds only the class one: give it a folder .* two or more classes"),
        ({"train": 3, "other": 3}, r"all of them are classes, write folder:.*/\{class\}"),
        ({"a": 2, "b": 0}, "no pictures of b"),
    ],
)
def test_a_folder_of_another_shape_is_refused(
    tmp_path: Path, made: dict[str, int], said: str
) -> None:
    for name in made:
        (tmp_path / name).mkdir()
    class_tree(tmp_path, made)
    with pytest.raises(UserError, match=said):
        load(f"folder:{tmp_path}")


def test_a_test_class_without_training_pictures_is_refused(tmp_path: Path) -> None:
    class_tree(tmp_path / "train", {"a": 2, "b": 2})
    class_tree(tmp_path / "test", {"a": 2, "c": 2})
    with pytest.raises(UserError, match=r"lack \(c\)"):
        load(f"folder:{tmp_path}")


def test_a_folder_that_is_not_there_is_said_so() -> None:
    reason = registry.datasets().get("folder:/no/such/place")().missing(None)
    assert reason is not None
    assert "there is no folder /no/such/place" in reason


def test_folder_needs_a_path_and_digits_take_none() -> None:
    with pytest.raises(UserError, match="write folder:PATH"):
        registry.datasets().get("folder")
    with pytest.raises(UserError, match="There is no data set 'digits:x'"):
        registry.datasets().get("digits:x")

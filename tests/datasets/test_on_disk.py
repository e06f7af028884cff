"""Every data set of files, read by its real loader from a miniature in its true layout."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from miniature_table import MINIATURES, Small
from miniatures import cifar10 as cifar10_batches
from miniatures import food, pets, pets_zhou
from pictures import class_tree

from fplbench.data.on_disk import OnDisk
from fplbench.data.prepare import prepared
from fplbench.data.splits import OFFICIAL, OURS, ZHOU
from fplbench.data.verify import verify
from fplbench.dataset import Data
from fplbench.errors import UserError
from fplbench.plugins import registry

DATASETS = registry.datasets()
ON_DISK = {name: cls for name, cls in DATASETS.classes.items() if issubclass(cls, OnDisk)}


def load(name: str, root: Path) -> Data:
    cls = DATASETS.get(name)
    assert cls().missing(root) is None
    return prepared(cls, root, root.parent / "cache")


@pytest.fixture(params=MINIATURES, ids=str)
def small(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Small, Path]:
    miniature: Small = request.param
    root = tmp_path / "data"
    root.mkdir()
    miniature.build(root)
    return miniature, root


def test_a_miniature_is_read_as_it_lies_on_disk(small: tuple[Small, Path]) -> None:
    wanted, root = small
    data = load(wanted.dataset, root)
    count = len(wanted.names)
    assert data.classnames[:count] == tuple(wanted.names)
    for split, each in ((data.train, wanted.train), (data.test, wanted.test)):
        assert np.bincount(split.labels, minlength=count)[:count].tolist() == list(each)
        assert split.images[0].mode == "RGB"
    assert data.split_kind == wanted.kind
    assert data.domains == tuple(wanted.domains)
    if wanted.domains:
        assert data.train.domains is not None
        assert set(data.train.domains.tolist()) == set(range(len(wanted.domains)))
    assert data.templates == ON_DISK[wanted.dataset].templates  # type: ignore[attr-defined]


def test_a_part_of_the_data_is_noted_and_verify_names_the_difference(
    small: tuple[Small, Path],
) -> None:
    wanted, root = small
    cls = ON_DISK[wanted.dataset]
    report = verify(cls, root, root.parent / "cache")
    assert not report.unusable
    assert not report.twice
    assert report.where.startswith(str(root))
    if wanted.kind in cls.counts or (wanted.kind == OURS and cls.images):
        assert not report.sound
        assert any("are published" in line for line in report.differences)
        (note,) = load(wanted.dataset, root).notes
        assert "are published" in note


def test_every_data_set_of_files_has_a_miniature() -> None:
    assert {small.dataset for small in MINIATURES} == set(ON_DISK)


def test_the_same_data_set_elsewhere_has_the_same_fingerprint(tmp_path: Path) -> None:
    prints = set()
    for place in ("one", "two"):
        pets_zhou(tmp_path / place)
        prints.add(load("oxford_pets", tmp_path / place).fingerprint)
    assert len(prints) == 1


def test_a_zhou_split_beside_torchvisions_folders_is_used(tmp_path: Path) -> None:
    pets_zhou(tmp_path)
    (tmp_path / "oxford_pets").rename(tmp_path / "oxford-iiit-pet")
    data = load("oxford_pets", tmp_path)
    assert (data.split_kind, data.split_source) == (ZHOU, "split_zhou_OxfordPets.json")
    (tmp_path / "oxford-iiit-pet" / "split_zhou_OxfordPets.json").unlink()
    assert load("oxford_pets", tmp_path).split_kind == OFFICIAL


@pytest.mark.parametrize("root", ["", "oxford_pets", "oxford-iiit-pet"])
def test_the_root_may_be_one_too_deep_or_one_too_high(tmp_path: Path, root: str) -> None:
    pets(tmp_path / "oxford_pets" / "oxford-iiit-pet")
    place = tmp_path / "oxford_pets"
    if root != "oxford-iiit-pet":
        assert load("oxford_pets", place if root else tmp_path).split_kind == OFFICIAL
    else:
        assert load("oxford_pets", place / root).split_kind == OFFICIAL


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"train": [["a.jpg", 0]], "test": []}',
        '{"train": [["a.jpg", 3, "cat"]], "test": []}',
        json.dumps({"train": [["../../x.jpg", 0, "cat"]], "test": [["b.jpg", 0, "cat"]]}),
    ],
)
def test_a_split_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    pets_zhou(tmp_path)
    (tmp_path / "oxford_pets" / "split_zhou_OxfordPets.json").write_text(text)
    with pytest.raises(UserError, match=r"split_zhou_OxfordPets\.json is no split"):
        load("oxford_pets", tmp_path)


LISTS = ("train*.txt", "*_train.txt", "images_variant_train.txt", "trainval.txt")


def test_a_line_of_an_unknown_form_is_refused_by_name(small: tuple[Small, Path]) -> None:
    wanted, root = small
    found = sorted({path for pattern in LISTS for path in root.rglob(pattern)})
    if not found or wanted.kind == ZHOU:
        pytest.skip("this layout has no lists of training images")
    found[0].write_text("nonsense\n" + found[0].read_text())
    with pytest.raises(UserError, match=rf"{re.escape(str(found[0]))}\b.* 'nonsense'"):
        load(wanted.dataset, root)


def test_images_that_a_list_names_and_nobody_has_are_missing(tmp_path: Path) -> None:
    pets_zhou(tmp_path)
    (tmp_path / "oxford_pets" / "images" / "american_bulldog_3.jpg").unlink()
    with pytest.raises(UserError, match=r"american_bulldog_3\.jpg is missing"):
        load("oxford_pets", tmp_path)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    cifar10_batches(tmp_path)
    harm = b"cos\nsystem\n(S'touch harmed'\ntR."
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(harm)
    with pytest.raises(UserError, match=r"test_batch is not the pickle .* asks for os\.system"):
        load("cifar10", tmp_path)
    assert not Path("harmed").exists()


def test_the_pixels_of_a_batch_come_channel_by_channel(tmp_path: Path) -> None:
    cifar10_batches(tmp_path)
    data = load("cifar10", tmp_path)
    first = np.random.default_rng(1).integers(0, 256, (2, 3072), dtype=np.uint8)[0]
    assert np.asarray(data.train.images[0])[5, 7].tolist() == first[[167, 1191, 2215]].tolist()


def test_what_is_missing_is_said_with_the_way_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "oxford-iiit-pet" / "images").mkdir(parents=True)
    reason = DATASETS.get("oxford_pets")().missing(tmp_path)
    assert reason is not None
    assert "oxford-iiit-pet (there, but without annotations)" in reason
    assert "fplbench data download oxford_pets" in reason
    by_hand = DATASETS.get("imagenet")().missing(tmp_path / "nowhere")
    assert by_hand is not None
    assert "there is no folder" in by_hand
    assert "register at image-net.org" in by_hand


@pytest.mark.parametrize("name", ON_DISK)
def test_facts_are_complete(name: str) -> None:
    cls = ON_DISK[name]
    assert cls.title
    assert cls.licence
    assert cls.source
    assert cls.downloads or cls.by_hand
    assert all(template.count("{}") == 1 for template in cls.templates)
    for counts in cls.counts.values():
        for each, whole in ((counts.train_each, counts.train), (counts.test_each, counts.test)):
            assert each is None or whole is None or each * cls.classes == whole
    assert sum(cls.domain_images.values()) in (0, cls.images)
    assert registry.usual(cls, registry.scenarios()) in ("personal", "domains", "base2novel")


SPLIT = {
    "train": [["Forest\\0.jpg", 1, "Forest"], ["SeaLake\\0.jpg", 2, "SeaLake"]],
    "val": [],
    "test": [["Forest\\1.jpg", 1, "Forest"], ["SeaLake\\1.jpg", 2, "SeaLake"]],
}


def split_eurosat(root: Path, folder: str, content: bytes) -> Path:
    class_tree(root / folder, {"AnnualCrop": 2, "Forest": 2, "SeaLake": 2})
    path = root / Path(folder).parts[0] / "split_zhou_EuroSAT.json"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_split_file_of_windows_is_read(tmp_path: Path, encoding: str, line_end: str) -> None:
    """With a mark before it, backslashes in paths, and labels that begin with 1."""
    text = json.dumps(SPLIT, indent=1).replace("\n", line_end)
    split_eurosat(tmp_path, "eurosat/2750", text.encode(encoding))
    data = load("eurosat", tmp_path)
    assert data.split_kind == ZHOU
    assert data.classnames == ("Forest", "Sea or Lake")
    assert data.train.labels.tolist() == data.test.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (3, "not all numbers from 0"),
        (0.5, "0.5 is no label"),
        (True, "True is no label"),
        ("two", "invalid literal"),
        (1, "label 1 is 'Forest' and 'SeaLake'"),
    ],
)
def test_labels_that_name_no_class_are_refused(tmp_path: Path, label: object, said: str) -> None:
    wrong = {**SPLIT, "train": [SPLIT["train"][0], ["SeaLake/0.jpg", label, "SeaLake"]]}
    wrong["test"] = [SPLIT["test"][0]]
    split_eurosat(tmp_path, "eurosat/2750", json.dumps(wrong).encode())
    with pytest.raises(UserError, match=said):
        load("eurosat", tmp_path)


@pytest.mark.parametrize("file", ["C:\\x\\0.jpg", "..\\..\\0.jpg", "\\\\server\\0.jpg"])
def test_a_path_of_windows_does_not_lead_out(tmp_path: Path, file: str) -> None:
    wrong = {**SPLIT, "train": [[file, 1, "Forest"]]}
    split_eurosat(tmp_path, "eurosat/2750", json.dumps(wrong).encode())
    with pytest.raises(UserError, match="leads out of the data set"):
        load("eurosat", tmp_path)


@pytest.mark.parametrize(
    "folder", ["EuroSAT_RGB", "eurosat/EuroSAT_RGB", "EuroSAT/EuroSAT", "eurosat/eurosat/2750"]
)
def test_other_publishers_folders_of_the_same_pictures(tmp_path: Path, folder: str) -> None:
    class_tree(tmp_path / folder, {"AnnualCrop": 4, "SeaLake": 4})
    data = load("eurosat", tmp_path)
    assert data.classnames == ("Annual Crop Land", "Sea or Lake")
    assert len(data.train.labels) + len(data.test.labels) == 8


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_of_windows_is_read(tmp_path: Path, encoding: str) -> None:
    food(tmp_path)
    before = load("food101", tmp_path).fingerprint
    for path in (tmp_path / "food-101" / "meta").glob("*.txt"):
        text = path.read_text().replace("/", "\\").replace("\n", "\r\n")
        path.write_bytes(text.encode(encoding))
    assert load("food101", tmp_path).fingerprint == before

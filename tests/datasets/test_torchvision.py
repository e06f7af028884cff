"""torchvision's own readers, names, addresses and checksums against ours, where it has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import miniatures
import numpy as np
import pytest
from torchvision import datasets as theirs

from fplbench.data.images import ImageFiles
from fplbench.data.on_disk import OnDisk
from fplbench.dataset import ImageArray, Split
from fplbench.datasets.flowers102 import CLASSES, CORRECTED
from fplbench.plugins import registry

Pairs = list[tuple[str, int]]


def ours(name: str, root: Path) -> tuple[Split, Split]:
    data = registry.datasets().get(name)().load(root, root)
    return data.train, data.test


def listed(split: Split) -> Pairs:
    assert isinstance(split.images, ImageFiles)
    files = [str(split.images.folder / name) for name in split.images.names]
    return sorted(zip(files, split.labels.tolist(), strict=True))


def pairs(found: Any) -> Pairs:
    """The files and labels of a torchvision data set, whichever way it keeps them."""
    samples = getattr(found, "_samples", None)
    if samples is None:
        files = getattr(found, "_image_files", None) or found._images
        samples = zip(files, found._labels, strict=True)
    return sorted((str(file), int(label)) for file, label in samples)


@pytest.mark.parametrize(
    ("name", "build", "kind", "train", "test"),
    [
        (
            "oxford_pets",
            lambda r: miniatures.pets(r / "oxford-iiit-pet"),
            theirs.OxfordIIITPet,
            ("trainval",),
            ("test",),
        ),
        (
            "dtd",
            lambda r: miniatures.dtd(r / "dtd" / "dtd"),
            theirs.DTD,
            ("train", "val"),
            ("test",),
        ),
        ("food101", miniatures.food, theirs.Food101, ("train",), ("test",)),
        (
            "fgvc_aircraft",
            lambda r: miniatures.aircraft(r / "fgvc-aircraft-2013b" / "data"),
            theirs.FGVCAircraft,
            ("train",),
            ("test",),
        ),
        ("stanford_cars", miniatures.cars, theirs.StanfordCars, ("train",), ("test",)),
    ],
)
def test_the_same_files_with_the_same_labels(
    tmp_path: Path,
    name: str,
    build: Callable[[Path], None],
    kind: Any,
    train: tuple[str, ...],
    test: tuple[str, ...],
) -> None:
    build(tmp_path)
    for split, parts in zip(ours(name, tmp_path), (train, test), strict=True):
        wanted = [pair for part in parts for pair in pairs(kind(tmp_path, split=part))]
        assert listed(split) == sorted(wanted)


def test_flowers_have_the_same_files_labels_and_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    miniatures.flowers(tmp_path / "flowers-102")
    # The real .mat files' checksums are no business of a miniature.
    monkeypatch.setattr(theirs.Flowers102, "_check_integrity", lambda self: True)
    train, test = ours("flowers102", tmp_path)
    kept = [pairs(theirs.Flowers102(tmp_path, split=part)) for part in ("train", "val", "test")]
    assert listed(train) == sorted(kept[0] + kept[1])
    assert listed(test) == kept[2]
    if hasattr(theirs.Flowers102, "classes"):  # torchvision 0.21, of torch 2.6, has no names
        assert tuple(CORRECTED.get(name, name) for name in theirs.Flowers102.classes) == CLASSES


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_same_pixels_and_labels(tmp_path: Path, name: str) -> None:
    getattr(miniatures, name)(tmp_path)
    base = {"cifar10": theirs.CIFAR10, "cifar100": theirs.CIFAR100}[name]

    class Unchecked(base):  # type: ignore[misc, valid-type]
        train_list: ClassVar = [[file, None] for file, _ in base.train_list]
        test_list: ClassVar = [[file, None] for file, _ in base.test_list]
        meta: ClassVar = base.meta | {"md5": None}

    for split, train in zip(ours(name, tmp_path), (True, False), strict=True):
        wanted = Unchecked(tmp_path, train=train)
        assert isinstance(split.images, ImageArray)
        assert np.array_equal(split.images.pixels, wanted.data)
        assert split.labels.tolist() == wanted.targets


def resources() -> Iterator[tuple[str, str, str]]:
    """Data set, address, MD5 as torchvision has them."""
    yield "cifar10", theirs.CIFAR10.url, theirs.CIFAR10.tgz_md5
    yield "cifar100", theirs.CIFAR100.url, theirs.CIFAR100.tgz_md5
    yield from (("oxford_pets", *each) for each in theirs.OxfordIIITPet._RESOURCES)
    for file, md5 in theirs.Flowers102._file_dict.values():
        yield "flowers102", theirs.Flowers102._download_url_prefix + file, md5
    yield "dtd", theirs.DTD._URL, theirs.DTD._MD5
    yield "food101", theirs.Food101._URL, theirs.Food101._MD5
    yield "sun397", theirs.SUN397._DATASET_URL, theirs.SUN397._DATASET_MD5


@pytest.mark.parametrize(("name", "url", "md5"), list(resources()))
def test_the_same_addresses_and_checksums(name: str, url: str, md5: str) -> None:
    cls = registry.datasets().get(name)
    assert issubclass(cls, OnDisk)
    known = {each.url.removeprefix("https:"): each.checksum for each in cls.downloads}
    assert known[url.removeprefix("https:").removeprefix("http:")] == f"md5:{md5}"

"""The cache of image features: hits, faults, new keys, and work done once."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import overload

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from benches import workbench
from PIL import Image
from small_clip import far, small_backbone

from fplbench.clip.backbone import Backbone
from fplbench.dataset import Data, Split
from fplbench.errors import UserError
from fplbench.features.cache import Features, features
from fplbench.features.images import Images, chained

COUNT = 70  # more than one batch


class Files(Sequence[Image.Image]):
    """Images opened when they are asked for; counts how often that happens."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.opened = 0

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...
    @overload
    def __getitem__(self, index: slice) -> Files: ...
    def __getitem__(self, index: int | slice) -> Image.Image | Files:
        if isinstance(index, slice):
            return Files(self.paths[index])
        self.opened += 1
        return Image.open(self.paths[index]).convert("RGB")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small pictures."""
    path = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for index in range(COUNT):
        pixels = generator.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{index:03}.png")
    return path


def data_of(folder: Path) -> Data:
    files = Files(sorted(folder.glob("*.png")))
    split = Split(files, np.zeros(len(files), dtype=np.int64))
    test = Split(Files(files.paths[:3]), np.zeros(3, dtype=np.int64))
    return Data(("thing",), split, test, ("a {}.",), fingerprint="f0", split_source="here")


@pytest.fixture
def data(folder: Path) -> Data:
    return data_of(folder)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return small_backbone()


def opened(data: Data) -> int:
    assert isinstance(data.train.images, Files)
    return data.train.images.opened


def get(
    backbone: Backbone, data: Data, cache: Path, patches: bool = False, view: int = 0
) -> Features:
    return features(backbone, data, "train", patches, cache, "cpu", view=view)


def test_features_are_the_towers_own_in_order_and_of_unit_length(
    backbone: Backbone, data: Data, tmp_path: Path
) -> None:
    found = get(backbone, data, tmp_path, patches=True)
    pixels = torch.stack([backbone.preprocess(image) for image in data.train.images])
    wanted = backbone.images(pixels, patches=True)
    assert wanted.patches is not None
    assert found.patches is not None
    assert found.pooled.dtype == np.float32
    assert far(torch.from_numpy(found.pooled), F.normalize(wanted.pooled, dim=-1)) < 1e-5
    assert found.patches.dtype == np.float16
    assert far(torch.from_numpy(found.patches).float(), F.normalize(wanted.patches, dim=-1)) < 5e-4


def test_the_second_time_no_image_is_opened(backbone: Backbone, data: Data, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    first = features(
        backbone,
        data,
        "train",
        False,
        tmp_path,
        "cpu",
        lambda *step: steps.append(step),
    )
    assert steps == [(64, COUNT), (COUNT, COUNT)]
    assert opened(data) == COUNT
    second = get(backbone, data, tmp_path)
    assert opened(data) == COUNT
    assert np.array_equal(first.pooled, second.pooled)


def test_patches_added_later_leave_the_pooled_features_as_they_are(
    backbone: Backbone, data: Data, tmp_path: Path
) -> None:
    alone = get(backbone, data, tmp_path / "a")
    (pooled,) = (tmp_path / "a").glob("*.pooled.npy")
    stamp = pooled.stat().st_mtime_ns
    both = get(backbone, data, tmp_path / "a", patches=True)
    assert pooled.stat().st_mtime_ns == stamp
    together = get(backbone, data, tmp_path / "b", patches=True)
    assert np.array_equal(alone.pooled, both.pooled)
    assert np.array_equal(alone.pooled, together.pooled)


def test_mirrored_features_are_the_towers_own_of_mirrored_pixels(
    backbone: Backbone, data: Data, tmp_path: Path
) -> None:
    alone = get(backbone, data, tmp_path)
    found = features(backbone, data, "train", False, tmp_path, "cpu", mirrored=True)
    assert found.mirrored is not None
    pixels = torch.stack([backbone.preprocess(image) for image in data.train.images])
    wanted = F.normalize(backbone.images(pixels.flip(3)).pooled, dim=-1)
    assert far(torch.from_numpy(found.mirrored), wanted) < 1e-5
    assert far(torch.from_numpy(found.pooled), wanted) > 1e-2
    assert np.array_equal(found.pooled, alone.pooled)
    assert alone.mirrored is None


def test_mirrored_features_of_several_data_sets_lie_one_behind_the_other() -> None:
    pooled, mirrored = torch.randn(2, 3, 4, 5)
    one, other = (
        Images(np.arange(2), p, None, mirrored=m)
        for p, m in zip(pooled.split(2, 1), mirrored.split(2, 1), strict=True)
    )
    both = chained(np.arange(4), [one, other])
    assert both.mirrored is not None
    assert torch.equal(both.mirrored, torch.cat([one.mirrored, other.mirrored]))
    assert chained(np.arange(4), [one, replace(other, mirrored=None)]).mirrored is None


def test_training_images_alone_are_mirrored(tmp_path: Path) -> None:
    """Whoever asks, the method itself or the run for another one."""
    bench, inputs = workbench(tmp_path, "mirrored"), frozenset({"pooled", "mirrored"})
    train = bench.images("tiny", "digits", "train", inputs)
    assert train.mirrored is not None
    assert train.mirrored.shape == train.pooled.shape
    assert bench.images("tiny", "digits", "train", frozenset({"pooled"})).mirrored is None
    assert bench.images("tiny", "digits", "test", inputs).mirrored is None
    assert len(list(tmp_path.rglob("*.train.*.mirrored.npy"))) == 1
    assert not list(tmp_path.rglob("*.test.*.mirrored.npy"))


@pytest.mark.parametrize("damage", ["a bit", "its end", "everything", "its beginning"])
def test_a_damaged_file_is_made_again(
    damage: str, backbone: Backbone, data: Data, tmp_path: Path
) -> None:
    good = np.array(get(backbone, data, tmp_path).pooled)
    (path,) = tmp_path.glob("*.npy")
    content = bytearray(path.read_bytes())
    if damage == "a bit":
        content[500] ^= 1
    elif damage == "its end":
        del content[-100:]
    elif damage == "everything":
        content.clear()
    else:
        content[:6] = b"nothin"
    path.write_bytes(content)
    assert np.array_equal(get(backbone, data, tmp_path).pooled, good)
    assert opened(data) == 2 * COUNT


def test_other_weights_data_preprocessing_or_split_have_features_of_their_own(
    backbone: Backbone, data: Data, tmp_path: Path
) -> None:
    get(backbone, data, tmp_path)
    get(small_backbone(seed=1), data, tmp_path)
    get(backbone, replace(data, fingerprint="f1"), tmp_path)
    get(replace(backbone, preprocess=small_backbone().preprocess), data, tmp_path)  # the same
    darker = replace(backbone, preprocess=_darker(backbone))
    get(darker, data, tmp_path)
    features(backbone, data, "test", False, tmp_path, "cpu")
    assert len(list(tmp_path.glob("*.npy"))) == 5


def _darker(backbone: Backbone) -> object:
    def darker(image: Image.Image) -> torch.Tensor:
        return backbone.preprocess(image) / 2

    return darker


def test_what_is_written_to_the_arrays_reaches_no_file(
    backbone: Backbone, data: Data, tmp_path: Path
) -> None:
    first = get(backbone, data, tmp_path).pooled
    first[:] = 0
    assert not np.array_equal(get(backbone, data, tmp_path).pooled, first)


def test_images_that_cannot_be_read_are_all_named(
    backbone: Backbone, data: Data, tmp_path: Path
) -> None:
    paths = [Path(path) for path in data.train.images.paths]  # type: ignore[attr-defined]
    bad = [tmp_path / f"bad{index}.png" for index in range(7)]
    for path in bad:
        path.write_bytes(b"no picture")
    paths[1:1] = bad[:3]
    paths[-1:-1] = bad[3:]
    broken = replace(data, train=Split(Files(paths), np.zeros(len(paths), dtype=np.int64)))
    with pytest.raises(UserError) as caught:
        get(backbone, broken, tmp_path / "cache")
    sentence = str(caught.value)
    assert sentence.startswith("7 of 77 images cannot be read (image 1:")
    assert all(path.name in sentence for path in bad[:5])
    assert "and 2 more" in sentence
    left = {p.suffix for p in (tmp_path / "cache").iterdir()}
    assert left <= {".lock", ".TAG"}


def test_a_cache_that_cannot_be_made_is_named(
    backbone: Backbone, data: Data, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write to .*file/cache .*, the folder of caches"):
        get(backbone, data, tmp_path / "file" / "cache")


def _ask(backbone: Backbone, data: Data, cache: Path, line: Connection) -> None:
    torch.set_num_threads(1)
    line.recv()
    line.send("asking")
    get(backbone, data, cache)
    line.send(opened(data))


# A fork, as a fresh process would spend its time on importing torch.
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_processes_do_the_work_once(backbone: Backbone, data: Data, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    line, far_end = context.Pipe()
    other = context.Process(target=_ask, args=(backbone, data, tmp_path, far_end), daemon=True)
    other.start()

    def let_the_other_ask(done: int, total: int) -> None:
        if done < total:  # in the middle of our own work
            line.send("go")
            assert line.recv() == "asking"
            time.sleep(0.3)

    features(backbone, data, "train", False, tmp_path, "cpu", let_the_other_ask)
    assert line.poll(60)
    assert line.recv() == 0
    assert opened(data) == COUNT
    other.join()


def test_each_view_is_encoded_once_into_a_file_of_its_own(
    backbone: Backbone, data: Data, tmp_path: Path
) -> None:
    plain, one, two = (get(backbone, data, tmp_path, view=view).pooled for view in range(3))
    assert opened(data) == 3 * COUNT
    assert np.array_equal(get(backbone, data, tmp_path, view=1).pooled, one)
    assert opened(data) == 3 * COUNT
    assert np.array_equal(get(backbone, data, tmp_path / "again", view=1).pooled, one)
    assert not np.allclose(one, plain)
    assert not np.allclose(one, two)

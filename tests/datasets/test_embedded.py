"""The embedded data sets: their counts, their cache, and what the tiny backbone makes of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fplbench.dataset import Data, ImageArray, Split
from fplbench.datasets.digits import Digits
from fplbench.datasets.shapes import RECIPE, Shapes
from fplbench.datasets.shapes_domains import ShapesDomains
from fplbench.embedded import tiny
from fplbench.embedded.render import COLOURS, PATTERNS, SHAPES
from fplbench.embedded.rendered import balanced_classes, rendered_splits
from fplbench.embedded.tiny.pretrain import encode_text, normalise
from fplbench.embedded.tiny.tokenizer import TinyTokenizer

SMALL = replace(RECIPE, name="small", classes=RECIPE.classes[:3], train=1, test=2, size=16)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def shapes(cache: Path) -> Data:
    return Shapes().load(None, cache)


@pytest.fixture(scope="module")
def domains(cache: Path) -> Data:
    return ShapesDomains().load(None, cache)


def pixels(split: Split) -> np.ndarray:
    assert isinstance(split.images, ImageArray)
    return split.images.pixels


def accuracy(data: Data, classes: range, limit: int = 1200) -> float:
    """Zero-shot accuracy in per cent among these classes, on their test images."""
    model, tokenizer, preprocess = tiny.load()
    names = [data.templates[0].format(data.classnames[k]) for k in classes]
    text = model.encode_text(tokenizer(names), normalize=True)
    rows = np.flatnonzero(np.isin(data.test.labels, classes))
    # Evenly spread, so that all classes and styles are there.
    rows = rows[:: max(1, len(rows) // limit)]
    images = torch.stack([preprocess(data.test.images[int(row)]) for row in rows])
    features = model.encode_image(images, normalize=True)
    hits = (features @ text.T).argmax(dim=1) + classes.start
    return 100 * float((hits.numpy() == data.test.labels[rows]).mean())


def test_shapes_has_a_hundred_classes_with_enough_images(shapes: Data) -> None:
    assert len(set(shapes.classnames)) == 100
    train, test = Counter(shapes.train.labels.tolist()), Counter(shapes.test.labels.tolist())
    assert set(train) == set(test) == set(range(100))
    assert min(train.values()) >= 50
    assert min(test.values()) >= 50
    assert (shapes.test.labels < 50).sum() >= 2500
    assert (shapes.test.labels >= 50).sum() >= 2500


def test_both_halves_of_shapes_speak_every_word(shapes: Data) -> None:
    for half in (shapes.classnames[:50], shapes.classnames[50:]):
        for position, words in enumerate((tuple(COLOURS), PATTERNS, SHAPES)):
            counts = Counter(name.split()[position] for name in half)
            assert set(counts) == set(words)
            assert max(counts.values()) - min(counts.values()) <= 1


def test_every_class_word_is_one_that_pretraining_taught(shapes: Data, domains: Data) -> None:
    tokenizer = TinyTokenizer()
    for name in (*shapes.classnames, *domains.classnames):
        assert len(tokenizer.encode(name)) == 3
        colour, pattern, shape = name.split()
        assert colour in COLOURS
        assert pattern in PATTERNS
        assert shape in SHAPES


def test_domains_hold_the_same_classes_in_equal_numbers(domains: Data) -> None:
    assert 4 <= len(domains.domains) <= 6
    assert ShapesDomains.default_scenario == "domains"
    for split in (domains.train, domains.test):
        assert split.domains is not None
        counts = Counter(zip(split.domains.tolist(), split.labels.tolist(), strict=True))
        assert len(counts) == len(domains.domains) * len(domains.classnames)
        assert len(set(counts.values())) == 1


def test_train_and_test_share_no_picture(shapes: Data, domains: Data) -> None:
    for data in (shapes, domains):
        train = {image.tobytes() for image in pixels(data.train)}
        assert train.isdisjoint(image.tobytes() for image in pixels(data.test))


def test_digits_are_all_there_and_split_by_class() -> None:
    data = Digits().load(None, Path("unused"))
    assert len(data.train.labels) + len(data.test.labels) == 1797
    assert data.classnames[3] == "three"
    assert min(Counter(data.test.labels.tolist()).values()) >= 50
    assert data.train.images[0].mode == "RGB"
    assert np.asarray(data.train.images[0]).max() == 255
    assert data.fingerprint == Digits().load(None, Path("unused")).fingerprint


def test_rendering_again_gives_the_same_fingerprint(tmp_path: Path) -> None:
    first = rendered_splits(SMALL, tmp_path / "a")
    again = rendered_splits(SMALL, tmp_path / "b")
    kept = rendered_splits(SMALL, tmp_path / "a")
    assert first[2] == again[2] == kept[2]
    assert np.array_equal(pixels(first[0]), pixels(kept[0]))


def test_another_seed_or_order_of_classes_has_another_fingerprint(tmp_path: Path) -> None:
    prints = {
        rendered_splits(recipe, tmp_path)[2]
        for recipe in (
            SMALL,
            replace(SMALL, seed=1),
            replace(SMALL, classes=SMALL.classes[::-1]),
            replace(SMALL, difficulty=replace(SMALL.difficulty, turn=0.3)),
        )
    }
    assert len(prints) == 4


@pytest.mark.parametrize("damage", ["torn", "changed", "empty"])
def test_a_damaged_cache_is_noticed_and_drawn_again(tmp_path: Path, damage: str) -> None:
    before = rendered_splits(SMALL, tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    changed = bytearray(whole)
    changed[-1] ^= 1
    file.write_bytes({"torn": whole[:-100], "changed": bytes(changed), "empty": b""}[damage])
    after = rendered_splits(SMALL, tmp_path)
    assert after[2] == before[2]
    assert np.array_equal(pixels(after[1]), pixels(before[1]))
    assert file.read_bytes() == whole


def test_a_sound_cache_is_read_and_not_drawn_again(tmp_path: Path) -> None:
    rendered_splits(SMALL, tmp_path)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    rendered_splits(SMALL, tmp_path)
    assert [path.stat().st_mtime_ns for path in tmp_path.iterdir()] == [written]


def test_more_classes_than_there_are_names_are_refused() -> None:
    with pytest.raises(ValueError, match="no 5 different names"):
        balanced_classes(0, (("red",), ("plain",), ("star", "moon")), 5)


def test_zero_shot_on_shapes_leaves_something_to_learn_and_to_forget(shapes: Data) -> None:
    base, novel = accuracy(shapes, range(50)), accuracy(shapes, range(50, 100))
    print(f"zero-shot on shapes: base {base:.1f} %, novel {novel:.1f} %")
    assert 50 < base < 80
    assert 50 < novel < 80


def test_zero_shot_on_domains_leaves_something_to_learn(domains: Data) -> None:
    among_all = accuracy(domains, range(10))
    print(f"zero-shot on shapes_domains: {among_all:.1f} %")
    assert 45 < among_all < 85


def test_digits_are_new_to_the_backbone() -> None:
    found = accuracy(Digits().load(None, Path("unused")), range(10))
    print(f"zero-shot on digits: {found:.1f} %")
    # It was taught neither digits nor their names: near chance, whichever side of it.
    assert found < 40


def test_pictures_through_preprocessing_equal_the_array_path(shapes: Data) -> None:
    _, _, preprocess = tiny.load()
    direct = normalise(torch.from_numpy(pixels(shapes.test)[:4].copy()))
    opened = torch.stack([preprocess(shapes.test.images[k]) for k in range(4)])
    torch.testing.assert_close(opened, direct)


def test_class_names_encode_alike_in_short_and_full_context(shapes: Data) -> None:
    model, tokenizer, _ = tiny.load()
    names = [f"X X X X {name}." for name in shapes.classnames[:5]]
    short = encode_text(model, tokenizer(names, 16))
    torch.testing.assert_close(short, model.encode_text(tokenizer(names), normalize=True))

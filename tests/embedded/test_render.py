"""The renderer: deterministic, and a picture depends on nothing but its own row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fplbench.embedded.render import (
    COLOURS,
    EASY,
    PATTERNS,
    SHAPES,
    STYLES,
    Difficulty,
    Labels,
    circumstances,
    render,
    uniforms,
)

HARD = Difficulty(clutter=(2, 5), occluders=(1, 2), turn=0.2, noise=(0.1, 0.2), haze=(0.1, 0.4))


def some_labels(count: int, seed: int = 0) -> Labels:
    rng = np.random.default_rng(seed)
    sizes = (len(SHAPES), len(COLOURS), len(PATTERNS), len(STYLES))
    return Labels(*(rng.integers(0, size, count) for size in sizes))


LABELS = some_labels(72)
WHOLE = render(5, np.arange(72), LABELS, HARD, size=24)


def test_pictures_are_bytes_of_the_size_asked_for() -> None:
    pictures = render(0, np.arange(4), LABELS.rows(0, 4), size=40)
    assert pictures.shape == (4, 40, 40, 3)
    assert pictures.dtype == torch.uint8


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others() -> None:
    again = render(5, np.arange(72), LABELS, HARD, size=24)
    other = render(6, np.arange(72), LABELS, HARD, size=24)
    assert torch.equal(WHOLE, again)
    assert (other != WHOLE).flatten(1).any(dim=1).all()


@settings(max_examples=10, deadline=None)
@given(start=st.integers(0, 71), count=st.integers(1, 72))
def test_a_picture_does_not_depend_on_the_batch_it_is_drawn_in(start: int, count: int) -> None:
    stop = min(72, start + count)
    part = render(5, np.arange(start, stop), LABELS.rows(start, stop), HARD, size=24)
    assert torch.equal(part, WHOLE[start:stop])


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(12)))
def test_a_picture_does_not_depend_on_the_order_of_the_batch(order: list[int]) -> None:
    rows = np.array(order)
    names = ("shape", "colour", "pattern", "style")
    labels = replace(LABELS, **{name: getattr(LABELS, name)[rows] for name in names})
    assert torch.equal(render(5, rows, labels, HARD, size=24), WHOLE[rows])


def test_a_picture_does_not_depend_on_the_number_of_threads() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = render(5, np.arange(72), LABELS, HARD, size=24)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(alone, WHOLE)


@pytest.mark.parametrize("attribute", ["shape", "colour", "pattern", "style"])
def test_every_value_of_an_attribute_gives_a_picture_of_its_own(attribute: str) -> None:
    words = {"shape": SHAPES, "colour": COLOURS, "pattern": PATTERNS, "style": STYLES}[attribute]
    count = len(words)
    base = {name: np.ones(count, np.int64) for name in ("shape", "colour", "pattern", "style")}
    base["style"] = np.zeros(count, np.int64)
    base[attribute] = np.arange(count)
    # One index for all: all else about the pictures is the same.
    pictures = render(0, np.zeros(count, np.int64), Labels(**base), size=32).float()
    difference = (pictures[:, None] - pictures[None]).abs().flatten(2).mean(dim=2)
    assert (difference[~torch.eye(count, dtype=torch.bool)] > 1).all()


def test_haze_and_contrast_narrow_the_range_of_a_picture() -> None:
    clear = replace(EASY, noise=(0, 0), haze=(0, 0), contrast=(1, 1))
    faint = replace(clear, contrast=(0.3, 0.3))
    labels = some_labels(32, seed=1)
    spread = [render(0, np.arange(32), labels, d, 24).float().std().item() for d in (clear, faint)]
    assert spread[1] < 0.5 * spread[0]


def test_random_numbers_are_spread_evenly_and_named_by_seed_and_index() -> None:
    numbers = uniforms(0, np.arange(2000), 20)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert np.abs(numbers.mean(axis=0) - 0.5).max() < 0.03
    assert np.abs(np.corrcoef(numbers.T) - np.eye(20)).max() < 0.1
    assert np.array_equal(uniforms(0, np.array([7]), 20)[0], numbers[7])


def test_circumstances_describe_the_pictures_that_are_drawn() -> None:
    index = np.arange(400)
    labels = replace(some_labels(400, seed=2), style=np.zeros(400, np.int64))
    told = circumstances(3, index, labels)
    assert all(((values >= 0) & (values < 1)).all() for values in told.values())
    corners = render(3, index, labels)[:, :3, :3].float().mean(dim=(1, 2, 3)).numpy()
    assert np.corrcoef(told["light"], corners)[0, 1] > 0.7

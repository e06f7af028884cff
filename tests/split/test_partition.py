"""The splits: nothing is lost, nothing appears twice, and randomness is the seed's alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fplbench.errors import UserError
from fplbench.rng import numpy_generator
from fplbench.split import partition

quick = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 10_000)


def label_array(seed: int, images: int, classes: int) -> np.ndarray:
    return numpy_generator(seed, "labels").integers(0, classes, images)


@given(count=st.integers(2, 400))
def test_halves_cover_all_classes_and_base_has_the_odd_one(count: int) -> None:
    base, novel = partition.halves(count)
    assert np.array_equal(np.concatenate([base, novel]), np.arange(count))
    assert 0 <= len(base) - len(novel) <= 1


def test_101_classes_are_51_base_and_50_novel() -> None:
    assert [len(half) for half in partition.halves(101)] == [51, 50]


@quick
@given(items=st.integers(1, 300), clients=st.integers(1, 40), seed=seeds)
def test_dealing_gives_each_item_to_one_client_in_even_sizes(
    items: int, clients: int, seed: int
) -> None:
    hands = partition.deal(np.arange(items), clients, numpy_generator(seed, "deal"))
    assert len(hands) == clients
    assert np.array_equal(np.sort(np.concatenate(hands)), np.arange(items))
    assert max(map(len, hands)) - min(map(len, hands)) <= 1


@quick
@given(images=st.integers(1, 300), classes=st.integers(1, 12), shots=st.integers(1, 40), seed=seeds)
def test_few_shots_keep_that_many_of_each_group_or_all_there_are(
    images: int, classes: int, shots: int, seed: int
) -> None:
    groups = label_array(seed, images, classes)
    kept = partition.few_shots(groups, shots, numpy_generator(seed, "shots"))
    there = np.bincount(groups, minlength=classes)
    assert np.array_equal(np.bincount(groups[kept], minlength=classes), np.minimum(there, shots))


@quick
@given(few=st.integers(1, 10), more=st.integers(0, 10), seed=seeds)
def test_fewer_shots_are_a_subset_of_more_shots(few: int, more: int, seed: int) -> None:
    groups = label_array(seed, 200, 7)
    small = partition.few_shots(groups, few, numpy_generator(seed, "shots"))
    large = partition.few_shots(groups, few + more, numpy_generator(seed, "shots"))
    assert not np.any(small & ~large)


def test_shots_count_each_class_of_each_client_on_its_own() -> None:
    labels = np.array([0, 0, 0, 1, 0, 0, 1, 1])
    clients = [np.array([0, 1, 2, 3]), np.array([4, 5, 6, 7])]
    cut = partition.cut_to_shots(clients, labels, 2, numpy_generator(0, "shots"))
    assert [np.bincount(labels[rows]).tolist() for rows in cut] == [[2, 1], [2, 2]]
    assert all(np.isin(rows, own).all() for rows, own in zip(cut, clients, strict=True))


@quick
@given(
    count=st.integers(0, 10_000),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=50).filter(lambda s: sum(s) > 1e-6),
    seed=seeds,
)
def test_apportioned_counts_sum_to_the_whole_and_miss_their_share_by_less_than_one(
    count: int, shares: list[float], seed: int
) -> None:
    counts = partition.apportion(count, np.array(shares), numpy_generator(seed, "apportion"))
    assert counts.sum() == count
    exact = np.array(shares) / sum(shares) * count
    assert np.all(np.abs(counts - exact) < 1 + 1e-6)


def test_remainders_do_not_go_to_the_same_clients_each_time() -> None:
    generator = numpy_generator(0, "apportion")
    total = sum(partition.apportion(5, np.ones(10), generator) for _ in range(400))
    assert np.all(np.abs(total - 200) < 60)


@quick
@given(
    images=st.integers(60, 600),
    classes=st.integers(1, 12),
    clients=st.integers(1, 6),
    alpha=st.floats(0.05, 100),
    seed=seeds,
)
def test_a_dirichlet_split_gives_every_image_of_both_splits_to_one_client(
    images: int, classes: int, clients: int, alpha: float, seed: int
) -> None:
    train, test = label_array(seed, images, classes), label_array(seed + 1, images // 3, classes)
    dealt = partition.dirichlet(
        train, test, clients, alpha, (0, 0), numpy_generator(seed, "dirichlet")
    )
    for labels, parts in zip((train, test), dealt, strict=True):
        assert len(parts) == clients
        assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))


def test_a_dirichlet_split_respects_the_minimum() -> None:
    train, test = label_array(0, 1000, 10), label_array(1, 300, 10)
    for seed in range(20):
        parts = partition.dirichlet(train, test, 10, 0.3, (40, 5), numpy_generator(seed, "d"))
        assert min(map(len, parts[0])) >= 40
        assert min(map(len, parts[1])) >= 5


def test_training_and_test_images_of_a_client_follow_the_same_shares() -> None:
    train, test = np.repeat(np.arange(10), 1000), np.repeat(np.arange(10), 500)
    parts = partition.dirichlet(train, test, 8, 0.3, (1, 1), numpy_generator(0, "d"))
    for own_train, own_test in zip(*parts, strict=True):
        counted = np.bincount(train[own_train], minlength=10)
        assert np.all(np.abs(counted / 2 - np.bincount(test[own_test], minlength=10)) <= 2)


def test_a_large_alpha_is_nearly_even_and_a_small_one_is_not() -> None:
    train, test = np.repeat(np.arange(10), 1000), np.repeat(np.arange(10), 100)

    def largest_share(alpha: float) -> float:
        parts, _ = partition.dirichlet(train, test, 10, alpha, (1, 0), numpy_generator(0, "d"))
        counts = np.array([np.bincount(train[rows], minlength=10) for rows in parts])
        return float((counts / 1000).max())

    assert largest_share(1e5) < 0.11
    assert largest_share(0.1) > 0.4


def test_a_client_at_the_even_share_gets_no_more_of_a_class() -> None:
    shares = partition.proportions(3, 1.0, np.array([9, 10, 11]), 10.0, numpy_generator(0, "p"))
    assert shares.tolist() == [1.0, 0.0, 0.0]


def test_an_alpha_so_small_that_shares_vanish_still_deals_everything() -> None:
    train = np.repeat(np.arange(10), 50)
    parts, _ = partition.dirichlet(train, train, 5, 1e-4, (0, 0), numpy_generator(3, "d"))
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(500))


def test_an_impossible_minimum_is_refused_with_the_numbers() -> None:
    labels = label_array(0, 50, 5)
    with pytest.raises(UserError, match=r"10 clients .* 6 training images each need 60.* are 50"):
        partition.dirichlet(labels, labels, 10, 0.5, (6, 0), numpy_generator(0, "d"))


def test_a_minimum_that_no_try_meets_is_refused_with_the_numbers() -> None:
    labels = np.repeat(np.arange(2), 50)
    with pytest.raises(
        UserError, match=r"Dirichlet\(0\.01\).*100 training.*10 clients.*at least 10"
    ):
        partition.dirichlet(labels, labels, 10, 0.01, (10, 0), numpy_generator(0, "d"))


def test_padding_marks_what_a_client_lacks() -> None:
    table = partition.padded([np.array([4, 5]), np.array([7]), np.array([], dtype=np.int64)])
    assert table.tolist() == [[4, 5], [7, -1], [-1, -1]]

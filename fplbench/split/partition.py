"""The splits themselves: pure functions from labels and random numbers to rows.

Rows are indices into one split (training or test), never into both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fplbench.dataset import IntArray
from fplbench.errors import UserError
from fplbench.scenario import BoolArray

TRIES = 100


def halves(count: int) -> tuple[IntArray, IntArray]:
    """Base and novel classes: the first half and the rest; of an odd number, base has one more.

    The order is the data set's, as in CoCoOp's `subsample_classes` (Zhou et al., CVPR 2022), so
    101 classes are 51 base and 50 novel ones.
    """
    classes = np.arange(count, dtype=np.int64)
    middle = (count + 1) // 2
    return classes[:middle], classes[middle:]


def deal(items: IntArray, clients: int, generator: np.random.Generator) -> list[IntArray]:
    """Shuffle and deal: each item to one client, sizes differ by at most one, each list sorted."""
    return [np.sort(hand) for hand in np.array_split(generator.permutation(items), clients)]


def few_shots(groups: IntArray, shots: int | IntArray, generator: np.random.Generator) -> BoolArray:
    """[R]: which rows stay when every group keeps at most `shots` random ones.

    groups: [R], the group of each row: a class, or a class on one client. shots: of every group
    alike, or of each, [groups]. Fewer shots with the same random numbers are a subset of more.
    """
    shuffled = generator.permutation(len(groups))
    by_group = shuffled[np.argsort(groups[shuffled], kind="stable")]
    _, starts, sizes = np.unique(groups[by_group], return_index=True, return_counts=True)
    rank = np.arange(len(groups)) - np.repeat(starts, sizes)
    kept = np.zeros(len(groups), dtype=np.bool_)
    kept[by_group[rank < (shots if isinstance(shots, int) else shots[groups[by_group]])]] = True
    return kept


def cut_to_shots(
    client_rows: Sequence[IntArray],
    labels: IntArray,
    shots: int | None,
    generator: np.random.Generator,
) -> list[IntArray]:
    """At most `shots` images of each class on each client. labels: of the whole split."""
    if shots is None:
        return list(client_rows)
    sizes = [len(rows) for rows in client_rows]
    rows = np.concatenate(client_rows)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    groups = owner * (int(labels.max(initial=0)) + 1) + labels[rows]
    kept = few_shots(groups, shots, generator)
    borders = np.cumsum(sizes)[:-1]
    return [
        part[keep]
        for part, keep in zip(np.split(rows, borders), np.split(kept, borders), strict=True)
    ]


def proportions(
    clients: int,
    alpha: float,
    filled: IntArray,
    full: float,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """[clients]: the shares of one class, Dirichlet(alpha) over the clients that are not full.

    filled: [clients], training images held so far; full: the even share. Clients at their even
    share get no more, as in NIID-Bench (Li et al., ICDE 2022) and the federated prompt learning
    code after it (FedOTP's and FedPGP's `noniid-labeldir`): sizes stay comparable, labels do not.
    """
    shares = generator.dirichlet(np.full(clients, alpha)) * (filled < full)
    total = shares.sum()
    # Below alpha of about 0.01 all the mass can sit on full clients.
    return shares / total if total > 0 else (filled < full) / np.count_nonzero(filled < full)


def apportion(count: int, shares: NDArray[np.float64], generator: np.random.Generator) -> IntArray:
    """[clients]: whole numbers that sum to `count` and are count * shares on average.

    shares: [clients], of any sum above 0. A random offset decides who gets the remainders; plain
    rounding down would give them to the same clients for every class.
    """
    reached = np.cumsum(shares)
    borders = np.floor(reached / reached[-1] * count + generator.random()).astype(np.int64)
    borders = np.minimum(borders, count)
    borders[-1] = count
    counts: IntArray = np.diff(borders, prepend=0)
    return counts


def dirichlet(
    train_labels: IntArray,
    test_labels: IntArray,
    clients: int,
    alpha: float,
    least: tuple[int, int],
    generator: np.random.Generator,
) -> tuple[list[IntArray], list[IntArray]]:
    """Deal both splits class by class with the same Dirichlet(alpha) shares.

    Nothing is lost and nothing is dealt twice: each row of train_labels [M] and of test_labels
    [M'] goes to one client. least: the fewest training and test images a client may have; a
    split with fewer is thrown away and drawn again, at most TRIES times.
    """
    splits = (("training", train_labels, least[0]), ("test", test_labels, least[1]))
    for what, labels, fewest in splits:
        if clients * fewest > len(labels):
            raise UserError(
                f"{clients} clients with at least {fewest} {what} images each need "
                f"{clients * fewest} images, but there are {len(labels)}: use fewer clients"
            )
    smallest = (-1, -1)
    for _ in range(TRIES):
        train, test = _dirichlet_once(train_labels, test_labels, clients, alpha, generator)
        found = (min(map(len, train)), min(map(len, test)))
        if found[0] >= least[0] and found[1] >= least[1]:
            return train, test
        smallest = max(smallest, found)
    raise UserError(
        f"no Dirichlet({alpha:g}) split of {len(train_labels)} training and {len(test_labels)} "
        f"test images over {clients} clients gave each at least {least[0]} and {least[1]} in "
        f"{TRIES} tries (the best left a client with {smallest[0]} and one with {smallest[1]}): "
        "use fewer clients, a larger alpha or a smaller minimum"
    )


def _dirichlet_once(
    train_labels: IntArray,
    test_labels: IntArray,
    clients: int,
    alpha: float,
    generator: np.random.Generator,
) -> tuple[list[IntArray], list[IntArray]]:
    filled = np.zeros(clients, dtype=np.int64)
    everyone = np.arange(clients)
    owners = [np.empty(len(labels), dtype=np.int64) for labels in (train_labels, test_labels)]
    # A random order of classes, since the last ones fill the clients that are still short.
    for label in generator.permutation(np.union1d(train_labels, test_labels)):
        shares = proportions(clients, alpha, filled, len(train_labels) / clients, generator)
        parts = []
        for owner, labels in zip(owners, (train_labels, test_labels), strict=True):
            rows = generator.permutation(np.flatnonzero(labels == label))
            parts.append(apportion(len(rows), shares, generator))
            owner[rows] = np.repeat(everyone, parts[-1])
        filled += parts[0]
    return rows_by_owner(owners[0], clients), rows_by_owner(owners[1], clients)


def rows_by_owner(owner: IntArray, clients: int) -> list[IntArray]:
    """Each client's rows, sorted. owner: [M], the client of each row."""
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.cumsum(np.bincount(owner, minlength=clients))[:-1])


def padded(rows: Sequence[IntArray]) -> IntArray:
    """[C, R]: one client's rows a line, -1 behind those of a client with fewer."""
    table = np.full((len(rows), max(map(len, rows))), -1, dtype=np.int64)
    for line, own in zip(table, rows, strict=True):
        line[: len(own)] = own
    return table

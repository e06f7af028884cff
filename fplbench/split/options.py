"""What every scenario can be asked for: a long tail of training images, and labels that are wrong.

Both come from the seed and are alike for all methods. The tail is cut before a scenario deals the
images, since a client holds what there is; the noise comes after it, since images are dealt by what
they show and told wrongly afterwards. Test images are neither cut nor mislabelled.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fplbench.dataset import Data, IntArray
from fplbench.errors import UserError
from fplbench.rng import numpy_generator
from fplbench.scenario import Clients, Scenario
from fplbench.split.partition import few_shots


def clients_of(scenario: Scenario, data: Data, seed: int) -> Clients:
    """The clients of a cell: what the scenario builds, with its options. UserError where the split
    cannot be made."""
    noise, factor = scenario.config.label_noise, scenario.config.imbalance
    made = scenario.build(data, seed) if factor == 1 else _of_tail(scenario, data, seed, factor)
    if noise == 0:
        return made
    g = numpy_generator(seed, "labels", "noise")
    return replace(made, train_labels=noisy(data.train.labels, made, noise, g))


def _of_tail(scenario: Scenario, data: Data, seed: int, factor: float) -> Clients:
    sizes = tail_sizes(np.bincount(data.train.labels, minlength=len(data.classnames)), factor)
    g = numpy_generator(seed, "split", "imbalance")
    kept = np.flatnonzero(few_shots(data.train.labels, sizes, g))
    cut = replace(data, train=data.train.part(kept))
    try:
        made = scenario.build(cut, seed)
    except UserError as error:
        raise UserError(f"{str(error).rstrip('.')} (imbalance {factor:g})") from None
    return replace(made, train_rows=tuple(kept[rows] for rows in made.train_rows))


def tail_sizes(counts: IntArray, factor: float) -> IntArray:
    """[K]: the images that each class keeps, from 1 to all of its own.

    counts: [K], those there are. Class k of K keeps n factor^(-k / (K - 1)), n those of the largest
    class, rounded down: Cui et al. (CVPR 2019), section 5.1, by the formula of Cao et al. (NeurIPS
    2019). A class that has fewer keeps all.
    """
    steps = np.arange(len(counts)) / max(1, len(counts) - 1)
    # A product such as 5000 x 0.01 may come out a hair below the whole number that it is.
    wanted = np.floor(counts.max() * factor**-steps + 1e-9).astype(np.int64)
    kept: IntArray = np.minimum(counts, np.maximum(wanted, 1))
    return kept


def noisy(labels: IntArray, made: Clients, rate: float, generator: np.random.Generator) -> IntArray:
    """[M]: the labels, each of a client's replaced with probability `rate` by another class.

    labels: [M], the true ones of the training split. The other class is any of those that the
    client chooses among in training, each alike: symmetric noise as in Han et al. (Co-teaching,
    NeurIPS 2018). An image is mislabelled, or not, whoever holds it; at a higher rate more are, and
    those of the lower rate still.
    """
    wrong, draw = generator.random(len(labels)) < rate, generator.random(len(labels))
    found = labels.copy()
    for client, rows in enumerate(made.train_rows):
        mine = made.class_mask
        among = np.sort(made.train_classes if mine is None else made.train_classes[mine[client]])
        rows = rows[wrong[rows]]
        others = len(among) - 1
        if others < 1:
            continue
        away = 1 + np.minimum((draw[rows] * others).astype(np.int64), others - 1)
        found[rows] = among[(np.searchsorted(among, labels[rows]) + away) % len(among)]
    return found

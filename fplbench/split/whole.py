"""Clients that share out both splits of a data set, and small words that scenarios have alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fplbench.dataset import Data, IntArray
from fplbench.rng import numpy_generator
from fplbench.scenario import Clients
from fplbench.split import partition
from fplbench.split.exams import own_exam, shared_exam


def split_clients(
    data: Data,
    train: Sequence[IntArray],
    test: Sequence[IntArray],
    shots: int | None,
    seed: int,
    name: str,
) -> Clients:
    """Both splits dealt to the clients; everybody chooses among all classes.

    train, test: each client's rows; shots: images of each class that a client keeps for training;
    name: of the scenario, for its random numbers.
    """
    classes = np.arange(len(data.classnames))
    cut = numpy_generator(seed, "split", name, "shots")
    return Clients(
        train_rows=tuple(partition.cut_to_shots(train, data.train.labels, shots, cut)),
        train_classes=classes,
        class_mask=None,
        exams=(own_exam("local", classes, test),),
        shared_exams=(shared_exam(classes, {"global": np.arange(len(data.test.labels))}),),
        client_names=client_names(len(train)),
    )


def rows_of(labels: IntArray, classes: IntArray) -> IntArray:
    """The rows whose label is one of the classes."""
    return np.flatnonzero(np.isin(labels, classes))


def client_names(count: int) -> tuple[str, ...]:
    """Clients without a name of their own are numbered as in every log."""
    return tuple(f"client {index}" for index in range(count))


def shots_in_words(shots: int) -> str:
    """1 shot, 16 shots."""
    return f"{shots} shot{'' if shots == 1 else 's'}"


def shots_note(shots: int | None) -> str:
    """The end of a caption."""
    return "" if shots is None else f", {shots_in_words(shots)}"

"""The contract of a scenario: one file in fplbench/scenarios/ (or a plug-in) with one subclass of
Scenario.

A scenario turns a data set into clients: the rows of the training images each holds, and the
exams each sits. An exam is encoded once and may put several questions to the same answers:
which images count, and among which classes a client chooses.

Axes: C clients, R rows of an exam, K classes of an exam's or training's class list.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fplbench.dataset import Data, IntArray
from fplbench.plugins.base import Plugin
from fplbench.plugins.base import Settings as Settings
from fplbench.spec import Training

BoolArray = NDArray[np.bool_]
NEW, TUNED = "new_", "tuned_"
"""Before the name of a question that is put to clients which took no part in training: as they
come, and after local epochs of their own."""


@dataclass(frozen=True)
class Question:
    """One metric of an exam.

    counts: [C, R], the rows that count for it; a client without any has no such number.
    class_mask: [C, K], the exam's classes a client chooses among; None for all of them.
    """

    counts: BoolArray
    class_mask: BoolArray | None = None


@dataclass(frozen=True)
class Exam:
    """Test images for every client, over one class list.

    classes: [K], indices into the data set's class names.
    rows: [C, R], rows of the test split, -1 where a client has fewer. C is 1 in the exams of
    the shared prompt alone.
    questions: metric name -> Question, each with the same C and R.
    """

    classes: IntArray
    rows: IntArray
    questions: dict[str, Question]


@dataclass(frozen=True)
class Clients:
    """The clients of a cell.

    train_rows: for each client its rows of the training split.
    train_classes: [K], the class list of training, indices into the data set's class names.
    class_mask: [clients, K], the classes a client trains among; None for all.
    exams: of the personal models; shared_exams: of the shared prompt alone.
    client_names: what reports call the clients.
    """

    train_rows: tuple[IntArray, ...]
    train_classes: IntArray
    class_mask: BoolArray | None
    exams: tuple[Exam, ...]
    shared_exams: tuple[Exam, ...]
    client_names: tuple[str, ...]


class Scenario(Plugin):
    """How a data set becomes clients, and what each is asked.

    An object holds its settings and nothing else. All that is random comes from the seed, through
    `fplbench.rng` with a name of the scenario's own.

    training_defaults: settings of the training (rounds, local_epochs, participation, ...) where
    the user names none. headline: the metrics of the main table, in its order, of those that are
    measured. trade_off: two metrics, fitting one's own data (x) against everything else (y).
    titles, meanings: of metrics that only this scenario asks for, and of others that it calls
    otherwise: the head of a column, and a clause that explains it where the head does not.
    All of these are kept in a record, so that old records stay as they are.
    """

    kind = "scenario"
    texts = ("summary",)
    summary: ClassVar[str]
    Config: ClassVar[type[Settings]] = Settings
    training_defaults: ClassVar[Mapping[str, float | int]] = {}
    headline: ClassVar[tuple[str, ...]] = ("local", "global")
    trade_off: ClassVar[tuple[str, str]] = ("local", "global")
    titles: ClassVar[Mapping[str, str]] = {}
    meanings: ClassVar[Mapping[str, str]] = {}

    def __init__(self, config: Settings) -> None:
        self.config = config

    @classmethod
    def complaint(cls) -> str | None:
        twice = Training.model_fields.keys() & cls.Config.model_fields.keys()
        if twice:
            return f"{cls.__name__}.Config has settings of the training: {', '.join(sorted(twice))}"
        unknown = cls.training_defaults.keys() - Training.model_fields.keys()
        if unknown:
            return (
                f"{cls.__name__}.training_defaults has what is no setting of the training: "
                f"{', '.join(sorted(unknown))}"
            )
        if not cls.headline or isinstance(cls.headline, str):
            return f"{cls.__name__}.headline must be a tuple with the name of at least one metric"
        if len(cls.trade_off) != 2 or isinstance(cls.trade_off, str):
            return f"{cls.__name__}.trade_off must be a tuple with the names of two metrics"
        return None

    @abstractmethod
    def build(self, data: Data, seed: int) -> Clients:
        """The clients and exams of one cell; UserError where the split cannot be made.

        No training image may go to two clients, and no client may be without one.
        """

    @abstractmethod
    def describe(self) -> str:
        """A few words for a caption: what decides the split."""

    def fingerprint(self) -> str:
        """Of what decides the split and is in no setting, such as a file; "" where nothing is. It
        is part of a cell's identity. UserError where it cannot be read."""
        return ""

    def expand(self, domains: Sequence[str]) -> list[Self]:
        """One scenario a cell; several where a setting stands for several cells.

        domains: the data set's domain names.
        """
        return [self]

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
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer
from pydantic.config import JsonDict

from fplbench.dataset import Data, IntArray
from fplbench.plugins import base
from fplbench.plugins.base import Plugin
from fplbench.spec import Training

BoolArray = NDArray[np.bool_]
NEW, TUNED = "new_", "tuned_"
"""Before the name of a question that is put to clients which took no part in training: as they
come, and after local epochs of their own."""
LEFT_OUT: JsonDict = {"left out where it is off": True}


def option(off: Any, **of_field: Any) -> Any:
    """A setting that is in no record and no id where it is off, its default: no cell is another
    one because there is such a setting. of_field: of pydantic's Field."""
    return Field(off, json_schema_extra=LEFT_OUT, **of_field)


class Settings(base.Settings):
    """Base of a scenario's Config, with the options that every scenario has.

    They are no matter of `Scenario.build`: `fplbench.split.options` has them.
    """

    label_noise: float = option(
        0.0,
        ge=0,
        le=1,
        description="Share of the training images whose label is another class, each other one "
        "alike (symmetric noise); test images keep theirs.",
    )
    imbalance: float = option(
        1.0,
        ge=1,
        description="Largest over smallest class of the training images, which fall off "
        "exponentially in the order of the classes (Cui et al., CVPR 2019); 1 leaves all.",
    )

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in handler(self).items()
            if fields[name].json_schema_extra != LEFT_OUT or value != fields[name].default
        }


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
    train_labels: [M], of the training split as the clients are told them; None for the true ones.
    """

    train_rows: tuple[IntArray, ...]
    train_classes: IntArray
    class_mask: BoolArray | None
    exams: tuple[Exam, ...]
    shared_exams: tuple[Exam, ...]
    client_names: tuple[str, ...]
    train_labels: IntArray | None = None

    def labels(self, data: Data) -> IntArray:
        """[M]: of the training split, as the clients are told them."""
        return data.train.labels if self.train_labels is None else self.train_labels


class Scenario(Plugin):
    """How a data set becomes clients, and what each is asked.

    An object holds its settings and nothing else. All that is random comes from the seed, through
    `fplbench.rng` with a name of the scenario's own.

    training_defaults: settings of the training (rounds, local_epochs, participation, ...) where
    the user names none. headline: the metrics of the main table, in its order, of those that are
    measured. trade_off: two metrics, fitting one's own data (x) against everything else (y).
    usual_for: the data sets it is for where neither they nor a run name a scenario: "one" is any,
    "several" those that are joined.
    lists: settings in whose text commas separate what belongs together, and are not swept.
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
    usual_for: ClassVar[Literal["", "one", "several"]] = ""
    lists: ClassVar[frozenset[str]] = frozenset()
    titles: ClassVar[Mapping[str, str]] = {}
    meanings: ClassVar[Mapping[str, str]] = {}

    def __init__(self, config: Settings) -> None:
        self.config = config

    @classmethod
    def complaint(cls) -> str | None:
        if not issubclass(cls.Config, Settings):
            return f"{cls.__name__}.Config must be a subclass of fplbench.scenario.Settings"
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
        if cls.wants and cls.fingerprint is Scenario.fingerprint:
            return (
                f"{cls.__name__}.fingerprint must tell one {cls.wants} from another: an argument "
                "is in no setting, so cells of all of them would be one"
            )
        return None

    @abstractmethod
    def build(self, data: Data, seed: int) -> Clients:
        """The clients and exams of one cell; UserError where the split cannot be made.

        No training image may go to two clients, and no client may be without one. Called by
        `fplbench.split.options.clients_of`, which everybody else calls.
        """

    @abstractmethod
    def describe(self) -> str:
        """A few words for a caption: what decides the split."""

    def words(self) -> str:
        """`describe`, with the options that are on."""
        noise, factor = self.config.label_noise, self.config.imbalance
        tail = f", a long tail of 1 to {factor:g}" if factor > 1 else ""
        wrong = f", {100 * noise:g} % of the training labels wrong" if noise else ""
        return self.describe() + tail + wrong

    def fingerprint(self) -> str:
        """Of what decides the split and is in no setting, such as a file; "" where nothing is. It
        is part of a cell's identity. UserError where it cannot be read."""
        return ""

    def expand(self, domains: Sequence[str]) -> list[Self]:
        """One scenario a cell; several where a setting stands for several cells.

        domains: the data set's domain names.
        """
        return [self]

"""Many data sets in one federation: FedTPG's base to new, and transfer to unseen data sets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from fplbench.dataset import Data, IntArray
from fplbench.errors import UserError
from fplbench.rng import numpy_generator
from fplbench.scenario import BoolArray, Clients, Exam, Question, Scenario, Settings
from fplbench.scenarios._budgets import FEDPGP
from fplbench.split import partition
from fplbench.split.by_class import shots_of
from fplbench.split.exams import own_exam, shared_exam
from fplbench.split.whole import rows_of, shots_in_words

WANTED = "the scenario federation wants data of several data sets: write --datasets NAME+OTHER"


@dataclass(frozen=True)
class _Part:
    """A data set that is trained on. base, novel: its classes, indices into those of all data
    sets; dealt: the base classes of each of its clients."""

    name: str
    base: IntArray
    novel: IntArray
    dealt: list[IntArray]


class Federation(Scenario):
    """A client holds some base classes of one data set, few shots of each.

    Of each data set that is trained on the first half of the classes is base and dealt to clients
    (with `base=all` all of them are); nobody trains on the rest, nor on the data sets of
    `test_on`, which everybody is asked about.
    Questions are asked among classes of one data set.
    """

    name = "federation"
    summary = (
        "clients hold classes of different data sets; tested on each one's base, novel classes"
    )
    usual_for = "several"
    training_defaults: ClassVar = FEDPGP
    headline = ("local", "base", "novel", "hm", "transfer")
    trade_off = ("local", "novel")
    lists = frozenset({"test_on"})
    meanings: ClassVar = {
        "local": "the client's own classes, among all base classes of its data set",
        "base": "mean over data sets, each asked of its own clients",
        "novel": "mean over data sets, each asked of its own clients",
        "transfer": "mean over data sets that nobody trained on, asked of every client",
        **dict.fromkeys(
            ("global_base", "global_novel", "global_transfer"),
            "the shared prompt alone, mean over data sets",
        ),
    }
    titles: ClassVar = {
        "transfer": "Transfer",
        "global_base": "Gl. base",
        "global_transfer": "Gl. transf.",
    }

    class Config(Settings):
        classes_per_client: int = Field(
            20,
            ge=1,
            description="Base classes of a client, as nearly as they can be dealt; 20 in FedTPG's "
            "Launch_FL.py, 5 of ImageNet's for its transfer.",
        )
        shots: int = Field(
            8,
            ge=1,
            description="Training images of each class, all of them where there are fewer; 8 in "
            "FedTPG's Launch_FL.py.",
        )
        base: Literal["half", "all"] = Field(
            "half",
            description="The classes of a data set that are trained on. half: FedTPG's base to "
            "new; all: its transfer.",
        )
        test_on: str | None = Field(
            None,
            description="Of the data sets NAME+OTHER in one federation those that nobody trains "
            "on and everybody is tested on, with commas or + between.",
        )
        among: Literal["own", "dataset", "all"] = Field(
            "own",
            description="The classes that compete in training. own: those of the client, as in "
            "FedTPG; dataset: all base classes of its data set; all: those of all data sets.",
        )

    config: Config

    def build(self, data: Data, seed: int) -> Clients:
        if len(data.domains) < 2 or data.train.domains is None or data.test.domains is None:
            raise UserError(WANTED)
        every = np.concatenate([_classes(data, index) for index in range(len(data.domains))])
        if len(np.unique(every)) < len(every):  # domains that share their classes
            raise UserError(WANTED)
        away = self._away(data.domains)
        parts = [
            self._part(data, index, seed)
            for index, name in enumerate(data.domains)
            if name not in away
        ]
        if not parts:
            raise UserError("test_on names every data set, which leaves none to train on")
        dealt = [own for part in parts for own in part.dealt]
        return Clients(
            train_rows=shots_of(data, dealt, self.config.shots, seed, self.name),
            train_classes=np.concatenate([part.base for part in parts]),
            class_mask=self._class_mask(parts),
            exams=tuple(_exams(data, parts, away)),
            shared_exams=tuple(_shared_exams(data, parts, away)),
            client_names=tuple(f"{p.name} {n}" for p in parts for n in range(len(p.dealt))),
        )

    def describe(self) -> str:
        mine = self.config
        among = {
            "own": "",
            "dataset": ", trained among their data set's base classes",
            "all": ", trained among all base classes",
        }[mine.among]
        tested = f", tested on {mine.test_on}" if mine.test_on else ""
        return (
            f"clients with {mine.classes_per_client} {'' if mine.base == 'all' else 'base '}"
            f"classes of one data set, {shots_in_words(mine.shots)}{among}{tested}"
        )

    def _away(self, names: Sequence[str]) -> list[str]:
        """The data sets that nobody trains on."""
        asked = re.split(r"[+,]\s*", self.config.test_on) if self.config.test_on else []
        for name in asked:
            if name not in names:
                raise UserError(
                    f"test_on names {name!r}, which is none of {', '.join(names)}: write "
                    f"--datasets {'+'.join([*names, name])} --test-on {name}"
                )
        return asked

    def _part(self, data: Data, index: int, seed: int) -> _Part:
        """A data set's classes, halved as in base2novel and dealt."""
        name, classes = data.domains[index], _classes(data, index)
        first, rest = partition.halves(len(classes))
        if self.config.base == "all":
            first, rest = np.arange(len(classes)), classes[:0]
        elif len(rest) == 0:
            raise UserError(f"{name} has {len(classes)} classes, but base and novel need 2")
        clients = max(1, round(len(first) / self.config.classes_per_client))
        shuffled = numpy_generator(seed, "split", self.name, "deal", name)
        return _Part(
            name, classes[first], classes[rest], partition.deal(classes[first], clients, shuffled)
        )

    def _class_mask(self, parts: Sequence[_Part]) -> BoolArray | None:
        if self.config.among == "all":
            return None
        base = np.concatenate([part.base for part in parts])
        heard = [
            own if self.config.among == "own" else part.base for part in parts for own in part.dealt
        ]
        return np.stack([np.isin(base, classes) for classes in heard])


def _classes(data: Data, index: int) -> IntArray:
    """The classes of which a data set has images."""
    assert data.train.domains is not None
    assert data.test.domains is not None
    found = [s.labels[s.domains == index] for s in (data.train, data.test)]
    return np.unique(np.concatenate(found))


def _exams(data: Data, parts: Sequence[_Part], away: Sequence[str]) -> Iterator[Exam]:
    """Of each data set its base classes, with the client's own among them, then its novel ones;
    both for its own clients. Then what nobody trained on, for everybody."""
    labels, total = data.test.labels, sum(len(part.dealt) for part in parts)
    first = 0
    for part in parts:
        here = range(first, first + len(part.dealt))
        first += len(part.dealt)
        rows = _for_some(rows_of(labels, part.base), here, total)
        own = np.zeros_like(rows, dtype=bool)
        heard = np.zeros((total, len(part.base)), dtype=bool)
        for client, classes in zip(here, part.dealt, strict=True):
            own[client] = np.isin(labels[rows[client]], classes)
            heard[client] = np.isin(part.base, classes)
        yield Exam(
            part.base,
            rows,
            {
                "local": Question(own),
                "local_own": Question(own, heard),
                f"base/{part.name}": Question(rows >= 0),
            },
        )
        if len(part.novel) == 0:
            continue
        novel = _for_some(rows_of(labels, part.novel), here, total)
        yield Exam(part.novel, novel, {f"novel/{part.name}": Question(novel >= 0)})
    for name in away:
        classes = _classes(data, data.domains.index(name))
        yield own_exam(f"transfer/{name}", classes, [rows_of(labels, classes)] * total)


def _for_some(rows: IntArray, clients: range, total: int) -> IntArray:
    """[C, R]: the same rows for these clients, none for the others."""
    table = np.full((total, len(rows)), -1, dtype=np.int64)
    table[clients.start : clients.stop] = rows
    return table


def _shared_exams(data: Data, parts: Sequence[_Part], away: Sequence[str]) -> Iterator[Exam]:
    """The shared prompt alone, among the classes of one data set at a time."""
    labels = data.test.labels
    asked = [(f"global_base/{part.name}", part.base) for part in parts]
    asked += [(f"global_novel/{part.name}", part.novel) for part in parts if len(part.novel)]
    asked += [
        (f"global_transfer/{name}", _classes(data, data.domains.index(name))) for name in away
    ]
    for question, classes in asked:
        yield shared_exam(classes, {question: rows_of(labels, classes)})

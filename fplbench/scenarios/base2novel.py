"""Base to novel: what clients learn on some classes, asked about classes that nobody trained on."""

from __future__ import annotations

from typing import ClassVar

from fplbench.dataset import Data
from fplbench.errors import UserError
from fplbench.scenario import Clients
from fplbench.scenarios._budgets import FEDPGP
from fplbench.split import partition
from fplbench.split.by_class import ByClass
from fplbench.split.exams import class_exam, own_exam, shared_exam
from fplbench.split.whole import client_names, rows_of


class Base2Novel(ByClass):
    """The first half of the classes is base and dealt to clients; the rest nobody trains on."""

    name = "base2novel"
    summary = "base classes dealt without overlap, few shots; tested on own, base and novel classes"
    usual_for = "one"
    training_defaults: ClassVar = FEDPGP
    headline = ("local", "base", "novel", "hm", "cm")
    trade_off = ("local", "novel")

    def build(self, data: Data, seed: int) -> Clients:
        if len(data.classnames) < 2:
            raise UserError(
                f"base2novel needs at least 2 classes, but there are {len(data.classnames)}"
            )
        base, novel = partition.halves(len(data.classnames))
        dealt = self.deal(base, "base classes", seed)
        base_rows, novel_rows = rows_of(data.test.labels, base), rows_of(data.test.labels, novel)
        clients = self.config.clients
        return Clients(
            train_rows=self.train_rows(data, dealt, seed),
            train_classes=base,
            class_mask=None,
            exams=(
                class_exam(data.test.labels, base_rows, base, dealt, "base"),
                own_exam("novel", novel, [novel_rows] * clients),
            ),
            shared_exams=(
                shared_exam(base, {"global": base_rows}),
                shared_exam(novel, {"global_novel": novel_rows}),
            ),
            client_names=client_names(clients),
        )

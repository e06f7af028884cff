"""A partition made elsewhere: a file says which client holds which images."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from fplbench.data import partition_files
from fplbench.dataset import Data
from fplbench.errors import UserError
from fplbench.machine.paths import plain
from fplbench.scenario import Clients, Scenario
from fplbench.scenarios._budgets import FEDPGP
from fplbench.split.exams import own_exam, shared_exam


class File(Scenario):
    """Clients, their training and their test images are those of a CSV or JSON file; everybody
    chooses among all classes. The seed decides nothing here."""

    name = "file"
    summary = "clients, training and test images as a CSV or JSON file says"
    wants = "PATH"
    training_defaults: ClassVar = FEDPGP

    @classmethod
    def parse(cls, argument: str) -> type[Self] | None:
        """One name for one file, however its path is written."""
        return super().parse(plain(argument) if argument else argument)

    @cached_property
    def holdings(self) -> list[partition_files.Holding]:
        """Read once, so that a file that is edited while a run goes on changes nothing in it."""
        return partition_files.read(Path(self.argument))

    def fingerprint(self) -> str:
        return partition_files.digest(self.holdings)

    def build(self, data: Data, seed: int) -> Clients:
        path, classes = Path(self.argument), np.arange(len(data.classnames))
        rows = list(partition_files.rows_of(path, self.holdings, data))
        names = tuple(holding.client for holding in self.holdings)
        for name, (train, _) in zip(names, rows, strict=True):
            if len(train) == 0:
                raise UserError(f"{path}: {name} has no training images left")
        return Clients(
            train_rows=tuple(train for train, _ in rows),
            train_classes=classes,
            class_mask=None,
            exams=(own_exam("local", classes, [test for _, test in rows]),),
            shared_exams=(shared_exam(classes, {"global": np.arange(len(data.test.labels))}),),
            client_names=names,
        )

    def describe(self) -> str:
        return f"{len(self.holdings)} clients as {Path(self.argument).name} has them"

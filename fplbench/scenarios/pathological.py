"""Pathological label shift: every client has classes that no other one has."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from fplbench.dataset import Data
from fplbench.scenario import Clients
from fplbench.scenarios._budgets import FEDOTP
from fplbench.split.by_class import ByClass
from fplbench.split.exams import class_exam, shared_exam
from fplbench.split.whole import client_names


class Pathological(ByClass):
    """All classes are dealt to clients without overlap: label shift at its extreme."""

    name = "pathological"
    summary = "all classes dealt without overlap, few shots; tested on own and neighbours' classes"
    training_defaults: ClassVar = FEDOTP
    headline = ("local", "all", "neighbor", "global")

    def build(self, data: Data, seed: int) -> Clients:
        classes = np.arange(len(data.classnames))
        dealt = self.deal(classes, "classes", seed)
        every = np.arange(len(data.test.labels))
        return Clients(
            train_rows=self.train_rows(data, dealt, seed),
            train_classes=classes,
            class_mask=None,
            exams=(class_exam(data.test.labels, every, classes, dealt, "all"),),
            shared_exams=(shared_exam(classes, {"global": every}),),
            client_names=client_names(self.config.clients),
        )

"""Partitioners of flwr-datasets by name: `--scenario flwr:DirichletPartitioner`."""

from __future__ import annotations

import importlib
import inspect
import json
from importlib import metadata
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from fplbench.dataset import Data, IntArray
from fplbench.errors import UserError
from fplbench.rng import numpy_generator
from fplbench.scenario import Clients, Scenario, Settings
from fplbench.scenarios._budgets import FEDPGP
from fplbench.split.whole import split_clients

PACKAGE = "flwr-datasets"


class Flwr(Scenario):
    """A partitioner of Flower's deals all images, shuffled by the seed; of a client's share the
    training images are trained on and the test images asked about."""

    name = "flwr"
    summary = "a partitioner of flwr-datasets deals training and test images (pip install it)"
    wants = "PARTITIONER"
    training_defaults: ClassVar = FEDPGP

    class Config(Settings):
        clients: int = Field(10, ge=1, description="num_partitions, where it has that argument.")
        arguments: str = Field(
            "{}",
            description='The partitioner\'s other arguments as JSON, {"alpha": 0.3}; partition_by '
            "is the label and seed the cell's.",
        )

    config: Config

    def fingerprint(self) -> str:
        """Another version may deal otherwise."""
        self.partitioner()
        return f"{self.argument}, {PACKAGE} {metadata.version(PACKAGE)}"

    def build(self, data: Data, seed: int) -> Clients:
        trained = len(data.train.labels)
        labels = np.concatenate([data.train.labels, data.test.labels])
        order = numpy_generator(seed, "split", self.name).permutation(len(labels))
        dealt = [np.sort(order[rows]) for rows in self._dealt(labels[order], seed)]
        train = [rows[rows < trained] for rows in dealt]
        for client, rows in enumerate(train):
            if len(rows) == 0:
                raise UserError(f"{self.argument} leaves client {client} without training images")
        test = [rows[rows >= trained] - trained for rows in dealt]
        return split_clients(data, train, test, None, seed, self.name)

    def describe(self) -> str:
        given = "" if self.config.arguments == "{}" else f" {self.config.arguments}"
        return f"{self.config.clients} clients, flwr-datasets' {self.argument}{given}"

    def partitioner(self) -> Any:
        """Its class. UserError: it is not there."""
        try:
            module = importlib.import_module("flwr_datasets.partitioner")
        except ImportError as error:
            raise UserError(
                f"--scenario {self.name} needs {PACKAGE}, which is not installed: "
                f"pip install {PACKAGE}."
            ) from error
        found = getattr(module, self.argument, None)
        if not inspect.isclass(found):
            known = ", ".join(name for name in dir(module) if name.endswith("Partitioner"))
            raise UserError(f"{PACKAGE} has no {self.argument!r}; it has {known}")
        return found

    def _dealt(self, labels: IntArray, seed: int) -> list[IntArray]:
        """The places of each client."""
        kind = self.partitioner()
        takes = inspect.signature(kind).parameters
        usual = {"num_partitions": self.config.clients, "partition_by": "label", "seed": seed}
        given = {name: value for name, value in usual.items() if name in takes}
        try:
            made = kind(**given | json.loads(self.config.arguments))
            columns = {"label": labels.tolist(), "place": list(range(len(labels)))}
            made.dataset = importlib.import_module("datasets").Dataset.from_dict(columns)
            count = int(made.num_partitions)
            return [np.array(made.load_partition(k)["place"], dtype=np.int64) for k in range(count)]
        except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise UserError(
                f"{self.argument}({self.config.arguments}) of {PACKAGE}: {error}"
            ) from error

"""Mine (authors, venue, year): who holds what, in one sentence."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from fplbench.dataset import Data
from fplbench.errors import UserError
from fplbench.rng import numpy_generator
from fplbench.scenario import Clients, Scenario, Settings
from fplbench.split.whole import rows_of, split_clients


class Mine(Scenario):
    """Images dealt at random; each client is tested on all test images of its classes."""

    name = "mine"
    summary = "images dealt at random in equal parts"

    class Config(Settings):
        clients: int = Field(10, ge=1, description="Clients. Where the number is from.")

    config: Config

    def build(self, data: Data, seed: int) -> Clients:
        """All that is random comes from the seed, under a name of the scenario's own."""
        count, labels = self.config.clients, data.train.labels
        if count > len(labels):
            raise UserError(f"{count} clients cannot share {len(labels)} images")
        order = numpy_generator(seed, "split", self.name).permutation(len(labels))
        train = [np.sort(rows) for rows in np.array_split(order, count)]
        test = [rows_of(data.test.labels, np.unique(labels[rows])) for rows in train]
        return split_clients(data, train, test, None, seed, self.name)

    def describe(self) -> str:
        """What decides the split, for captions."""
        return f"{self.config.clients} clients"

"""No shift at all: what federation costs where all clients are alike."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from fplbench.dataset import Data
from fplbench.errors import UserError
from fplbench.rng import numpy_generator
from fplbench.scenario import Clients, Scenario, Settings
from fplbench.scenarios._budgets import FEDPGP
from fplbench.split import partition
from fplbench.split.whole import shots_note, split_clients


class Iid(Scenario):
    """Shuffled and dealt evenly: every client sees the same distribution."""

    name = "iid"
    summary = "all images shuffled and dealt evenly"
    training_defaults: ClassVar = FEDPGP

    class Config(Settings):
        clients: int = Field(10, ge=1, description="Clients; 10 as in the other scenarios.")
        shots: int | None = Field(
            None, ge=1, description="Training images of each class on each client; None for all."
        )

    config: Config

    def build(self, data: Data, seed: int) -> Clients:
        clients = self.config.clients
        parts = []
        for what, labels in (("training", data.train.labels), ("test", data.test.labels)):
            if clients > len(labels):
                raise UserError(
                    f"{clients} clients cannot share {len(labels)} {what} images without an "
                    f"empty client: use at most {len(labels)} clients"
                )
            generator = numpy_generator(seed, "split", "iid", what)
            parts.append(partition.deal(np.arange(len(labels)), clients, generator))
        return split_clients(data, parts[0], parts[1], self.config.shots, seed, "iid")

    def describe(self) -> str:
        return f"{self.config.clients} clients, evenly dealt{shots_note(self.config.shots)}"

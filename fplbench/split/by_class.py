"""The base of scenarios that deal whole classes to clients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from fplbench.dataset import Data, IntArray
from fplbench.errors import UserError
from fplbench.rng import numpy_generator
from fplbench.scenario import Scenario, Settings
from fplbench.split import partition
from fplbench.split.whole import shots_in_words


class ByClass(Scenario):
    """Each class goes to one client, with some of its images."""

    class Config(Settings):
        clients: int = Field(
            10,
            ge=1,
            description="Clients, each with classes of its own; 10 in FedOTP's and FedPGP's "
            "scripts and in pFedMoAP, table 1.",
        )
        shots: int = Field(
            16,
            ge=1,
            description="Training images of each class, all of them where there are fewer; 16 in "
            "FedPGP's script and in FedMGP, table 1.",
        )

    config: Config

    def describe(self) -> str:
        shots = shots_in_words(self.config.shots)
        return f"{self.config.clients} clients with classes of their own, {shots}"

    def deal(self, classes: IntArray, what: str, seed: int) -> list[IntArray]:
        """Shuffle the classes and deal them; each client gets at least one.

        what: how the message of an error calls the classes.
        """
        clients = self.config.clients
        if clients > len(classes):
            raise UserError(
                f"{clients} clients cannot share {len(classes)} {what} without overlap: use "
                f"at most {len(classes)} clients"
            )
        return partition.deal(classes, clients, numpy_generator(seed, "split", self.name, "deal"))

    def train_rows(self, data: Data, dealt: Sequence[IntArray], seed: int) -> tuple[IntArray, ...]:
        """As `shots_of`."""
        return shots_of(data, dealt, self.config.shots, seed, self.name)


def shots_of(
    data: Data, dealt: Sequence[IntArray], shots: int, seed: int, name: str
) -> tuple[IntArray, ...]:
    """At most `shots` random images of each class, to the client that holds the class.

    The images of a class depend on the seed alone, not on who holds the class. name: of the
    scenario, for its random numbers.
    """
    labels = data.train.labels
    kept = partition.few_shots(labels, shots, numpy_generator(seed, "split", name, "shots"))
    rows = tuple(np.flatnonzero(kept & np.isin(labels, own)) for own in dealt)
    for client, (mine, own) in enumerate(zip(rows, dealt, strict=True)):
        if len(mine) == 0:
            names = ", ".join(data.classnames[label] for label in own)
            raise UserError(
                f"client {client} would be empty: its {len(own)} classes ({names}) have no "
                "training images; use fewer clients"
            )
    return rows

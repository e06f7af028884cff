"""Label shift of any degree: clients are tested on images distributed like their own."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from fplbench.dataset import Data
from fplbench.rng import numpy_generator
from fplbench.scenario import Clients, Scenario, Settings
from fplbench.scenarios._budgets import FEDPGP
from fplbench.split import partition
from fplbench.split.whole import shots_note, split_clients


class Personal(Scenario):
    """Dirichlet(alpha) over labels; a client's training and test images follow the same shares."""

    name = "personal"
    summary = "Dirichlet over labels; each client tested on images distributed like its own"
    training_defaults: ClassVar = FEDPGP

    class Config(Settings):
        clients: int = Field(
            10,
            ge=1,
            description="Clients. 10, all of them in every round, so that data of a thousand "
            "images suffice; CIFAR in FedOTP, FedPGP, pFedMoAP (table 2) and FedMGP (table 2) has "
            "100, with participation 0.1.",
        )
        alpha: float = Field(
            0.5,
            gt=0,
            allow_inf_nan=False,
            description="Concentration: small means few classes a client; 0.5 in pFedMoAP, table "
            "2, and FedMGP, table 2 (the scripts of FedOTP and FedPGP set 0.3).",
        )
        shots: int | None = Field(
            None,
            ge=1,
            description="Training images of each class on each client; all of them in the sources.",
        )
        min_train: int = Field(
            10,
            ge=1,
            description="Fewest training images of a client, before shots; 10 in NIID-Bench "
            "(Li et al., ICDE 2022) and FedOTP.",
        )
        min_test: int = Field(
            1,
            ge=0,
            description="Fewest test images of a client; with 0, a client without any has no "
            "`local` number. FedOTP has 10, which small data cannot give.",
        )

    config: Config

    def build(self, data: Data, seed: int) -> Clients:
        mine = self.config
        train, test = partition.dirichlet(
            data.train.labels,
            data.test.labels,
            mine.clients,
            mine.alpha,
            (mine.min_train, mine.min_test),
            numpy_generator(seed, "split", "personal", "dirichlet"),
        )
        return split_clients(data, train, test, mine.shots, seed, "personal")

    def describe(self) -> str:
        mine = self.config
        return f"{mine.clients} clients, Dirichlet({mine.alpha:g}){shots_note(mine.shots)}"

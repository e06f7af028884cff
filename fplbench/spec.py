"""What a run is: a request for a grid, the cells it expands to, and a cell's identity.

A cell is one method, travelling in one way, on one data set in one scenario with one backbone, one
seed and one set of settings. Everything that decides its numbers is in the cell or in its identity,
and both go into its id.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# Rises whenever the engine or the protocol changes what a cell's numbers are.
PROTOCOL = 2
OWN = "own"
"""In place of a strategy's name: a method's own travel."""
LONGEST = 180
"""Letters of an id before its hash: a file system takes 255 bytes a name, and names are made of
ids."""
SHARE = LONGEST // 5

FLAGS = {
    "epsilon": "The privacy budget; the noise that spends it is found.",
    "delta": "The probability with which the budget may fail.",
    "malicious": "Share of the clients that attack.",
}
"""Settings of strategies that have a flag, each with its help: the command line cannot ask the
strategies themselves, whose import takes seconds."""

Json = dict[str, Any]
Precision = Literal["fp32", "tf32", "bf16"]


class Training(BaseModel):
    """The budget and the optimizer, the same for all methods unless one is set apart."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rounds: int = Field(25, ge=1, description="Rounds; FedPGP's code.")
    local_epochs: int = Field(2, ge=1, description="Epochs a client trains a round; FedPGP's code.")
    participation: float = Field(
        1.0, gt=0, le=1, description="Share of the clients sampled each round."
    )
    new_clients: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the clients, drawn at random, that take no part in training and are "
        "tested apart: `new_...` with what the server sends them, `tuned_...` after "
        "new_client_epochs.",
    )
    new_client_epochs: int = Field(
        2, ge=1, description="Local epochs of a new client before its second test."
    )
    batch_size: int = Field(32, ge=1, description="Images of a local step; FedPGP's code.")
    lr: float = Field(
        0.001,
        gt=0,
        description="Learning rate of the first round; FedPGP's code.",
        json_schema_extra={
            "search": {
                "low": 1e-4,
                "high": 1e-1,
                "log": True,
                "source": "0.0001 is the least of the presets' papers (DP-FPL), 0.04 the largest "
                "tried for the embedded backbone (docs/defaults.md); rounded up to a decade",
            }
        },
    )
    lr_schedule: Literal["constant", "cosine", "linear"] = Field(
        "constant",
        description="The learning rate over the rounds, the same for every client. constant: "
        "FedPGP's and FedOTP's code. cosine, linear: falls so, and would be 0 in the round after "
        "the last.",
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Of SGD; Dassl's default.")
    weight_decay: float = Field(5e-4, ge=0, description="Of SGD; Dassl's default.")
    views: int = Field(
        1,
        ge=1,
        description="Views of a training image: epoch e is trained on view e mod V. View 0 is the "
        "image as it is tested, the others are seeded crops and flips. Published code draws a new "
        "one at every step; docs/performance.md compares 1 with 8.",
    )
    evaluations: int = Field(
        5,
        ge=1,
        description="How many rounds, evenly spaced, are evaluated for the curves; the last "
        "one always is, and it is the headline.",
    )
    evaluated_clients: int = Field(
        0,
        ge=0,
        description="How many clients are tested, drawn from the seed and the same for all "
        "methods; of new ones as many again. 0: all of them.",
    )
    evaluate_on: Literal["test", "validation"] = Field(
        "test",
        description="validation: a fifth of the training images takes the place of the test "
        "images, to choose settings by.",
    )
    nudge: int = Field(
        0,
        ge=0,
        description="0: the start as it is drawn. 1, 2, ...: every trained tensor's start times "
        "(1 + 1e-6 x standard normal), another draw for each number, to see how far rounding alone "
        "moves the end (`fplbench stability`). Such cells stand in no table, plot or page.",
    )
    chosen_by: str = Field(
        "",
        description="By what rule the settings were chosen, which tables say; empty: nobody chose. "
        "`fplbench run --tuned FILE` fills it in.",
    )
    precision: Precision = Field(
        "fp32",
        description="Of matrix products: fp32 everywhere; tf32 (GPUs of NVIDIA alone), prompts and "
        "logits; bf16, the text transformer's layers alone. Image features are always fp32.",
    )

    def lr_of(self, index: int) -> float:
        """The learning rate of a round, counted from 1."""
        past = (index - 1) / self.rounds
        shares = {
            "constant": 1.0,
            "cosine": (1 + math.cos(math.pi * past)) / 2,
            "linear": 1 - past,
        }
        return self.lr * shares[self.lr_schedule]

    def evaluated_rounds(self) -> frozenset[int]:
        """The rounds, counted from 1, after which every client is tested."""
        count = min(self.evaluations, self.rounds)
        return frozenset(-(-self.rounds * (i + 1) // count) for i in range(count))


class Cell(BaseModel):
    """One cell with every setting resolved.

    strategy: how the method travels, "own" for its own way.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    settings: Json
    strategy: str = OWN
    strategy_settings: Json = {}
    dataset: str
    scenario: str
    scenario_settings: Json
    training: Training
    backbone: str
    seed: int = Field(ge=0)

    def id(self, identity: dict[str, str]) -> str:
        """A readable name and a hash of all that decides the numbers.

        identity: fingerprints from outside the settings: code of the method and of the data
        set, data, split source, a scenario's file, content of the weights.
        """
        cell = self.model_dump(mode="json")
        # What stands behind a scenario's name says where a file lies; what is in it is identity.
        cell["scenario"] = scenario = self.scenario.partition(":")[0]
        if not self.training.nudge:
            del cell["training"]["nudge"]  # no cell is another one because starts can be moved
        if not self.training.new_clients:
            del cell["training"]["new_clients"], cell["training"]["new_client_epochs"]
        if not self.training.evaluated_clients:
            del cell["training"]["evaluated_clients"]
        if not self.training.chosen_by:
            del cell["training"]["chosen_by"]  # nor because settings can be chosen
        if self.strategy == OWN:
            del cell["strategy"], cell["strategy_settings"]  # nor because strategies exist
        whole = {"protocol": PROTOCOL, "cell": cell, "identity": identity}
        canonical = json.dumps(whole, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(canonical.encode()).hexdigest()[:10]
        parts = [self.named, self.dataset, scenario, self.backbone, f"s{self.seed}"]
        words = [re.sub(r"[^A-Za-z0-9.-]+", "-", part) for part in parts]
        if len("_".join(words)) > LONGEST:
            # Of a path the end tells most.
            words = [
                word if len(word) <= SHARE else f"{word[:8]}-{word[9 - SHARE :]}" for word in words
            ]
        return "_".join([*words, digest])

    @property
    def named(self) -> str:
        """The method, and its strategy where that is not its own."""
        return self.method if self.strategy == OWN else f"{self.method}-{self.strategy}"

    def label(self) -> str:
        """What progress shows."""
        moved = f", moved start {self.training.nudge}" if self.training.nudge else ""
        return f"{self.named} on {self.dataset}, seed {self.seed}{moved}"


class Request(BaseModel):
    """What a user asked for, before names and settings are resolved.

    scenarios: none stands for each data set's own. strategies: "own" is each method's.
    options: values of flags such as clients or rounds; each goes to the scenario or to the
    training, wherever a setting of that name is.
    sets: KEY -> value of `--set KEY=VALUE`, over that of a flag; KEY is "method.setting",
    "strategy.setting", "scenario.setting" or a setting's bare name, which is everybody's who has
    it. In both a list is swept: each of its values is run with each of the other lists'.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    scenarios: tuple[str, ...] = ()
    strategies: tuple[str, ...] = (OWN,)
    seeds: tuple[int, ...] = (0,)
    backbones: tuple[str, ...] = ("tiny",)
    options: Json = {}
    sets: Json = {}

    def points(self) -> list[Request]:
        """This request for each combination of the swept values."""
        swept = [
            [(group, key, value) for value in values]
            for group in ("options", "sets")
            for key, values in getattr(self, group).items()
            if isinstance(values, list)
        ]
        found = []
        for combination in itertools.product(*swept):
            groups = {"options": dict(self.options), "sets": dict(self.sets)}
            for group, key, value in combination:
                groups[group][key] = value
            found.append(self.model_copy(update=groups))
        return found


@dataclass(frozen=True)
class Setup:
    """What a run will be, as far as it is known before its first round.

    seed: the cell's. sizes: each client's number of training images. rounds: in how many rounds
    each client takes part. clients: those that may take part, all but new ones. at_once: how many
    of them do in a round.
    """

    seed: int
    sizes: tuple[int, ...]
    rounds: tuple[int, ...]
    clients: tuple[int, ...]
    at_once: int
    training: Training

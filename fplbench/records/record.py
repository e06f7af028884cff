"""The schema of a record: what was run, on what, and what came out."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from fplbench.plugins.base import Fact
from fplbench.plugins.measure import DEFAULT
from fplbench.spec import OWN

SCHEMA = 6
READABLE = (1, 2, 3, 4, 5, 6)
"""Schemas of records: 1 knew neither the protocol's version nor the files of the code; 2 did not
say itself what tables call things (records.old does); 3 knew no strategies; 4 no measure but
accuracy; 5 no facts."""

Status = Literal["done", "diverged", "failed"]


class _Model(BaseModel):
    """Numbers must be finite: a cell whose loss or accuracy is not has diverged."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Metric(_Model):
    """A number over clients: accuracy in percent, or another measure in its unit. mean, std
    (population) and worst are over the `count` clients that have a number; of a measure across
    clients, mean is what it gives. per_client follows Record.clients, None for a client without
    one, and is None as a whole where there are no numbers of single clients (the shared prompt
    alone, what derives from means). last5: of `mean`, the mean over the last five rounds, where
    all five were evaluated."""

    mean: float
    std: float | None = None
    worst: float | None = None
    count: int = 1
    last5: float | None = None
    per_client: list[float | None] | None = None


class About(_Model):
    """What reports say of a metric. title: the head of a column; meaning: a clause that explains
    it, "" where the title does."""

    title: str
    meaning: str = ""


class Scale(_Model):
    """What reports say of a measure, and how they read its numbers: see `measure.Measure`."""

    title: str
    short: str
    plural: str = ""
    unit: str = "%"
    meaning: str = ""
    lower_is_better: bool = False
    decimals: int = 1


class Traffic(_Model):
    """Bytes of the tensors sent: of all clients over the run, and of one client in one round."""

    up_bytes: int = 0
    down_bytes: int = 0
    up_bytes_client_round: float = 0.0
    down_bytes_client_round: float = 0.0


class Failure(_Model):
    """Why a cell is not done; round and client where they are known."""

    kind: str
    message: str
    traceback: str = ""
    round: int | None = None
    client: int | None = None


class Record(_Model):
    """One cell: what was run, on what, and what came out.

    training: rounds, local_epochs, batch_size, lr, ... of the engine; settings: the method's own
    hyper-parameters; scenario_settings: the scenario's (clients, shots, alpha, ...).
    strategy: how the method travelled, "own" for its own way; strategy_settings: its settings.
    changed: the names of settings that were not the defaults when the cell was run, each with its
    group ("set.mu", "scen.alpha", "train.lr"); None in records from before this was kept.
    facts: what the strategy says of the run that no setting says (a privacy budget spent, who
    attacks), by name; none where the method travelled in its own way.
    title: what the method is called in a paper, so that reports need no plug-in.
    identity: fingerprints that the id hashes beside these (code, data, weights, split source).
    code: for each part of the identity that is code, its files with their hashes, named within
    the plug-in's folder. protocol: spec.PROTOCOL of then.
    headline: the metrics of the main table, in its order; trade_off: the two of the plot of what a
    method gains against what it keeps; words: what decides the split, for a caption; about: of
    every metric that tables show by a name of its own, in their order. All as the scenario said
    when the cell was run.
    metrics: question -> its accuracy. measured: measure -> question -> its number, of all measures
    but accuracy; measures: what reports say of each of these.
    not_applicable: question -> why it means nothing for this method, whatever the measure.
    label_counts: of each client, how many training images of each class it has, by the labels it
    is told; a class it has none of is left out. trainable_parameters: of one client.
    times: seconds.
    round_seconds: least, median and most seconds of training a round; None where nothing is
    trained, and in records from before this was kept.
    peak_bytes: the most memory at any time: on a GPU what the cell's tensors took; else what the
    whole process took, with what it kept of earlier cells, so it tells no cells apart; None where
    the system does not tell.
    source: who packed the record, or the file that it came from, as packs keep it beside records;
    "" in a cell's own folder, whose record.json has no such field.
    """

    schema_version: int = Field(default=SCHEMA, alias="schema")
    id: str
    status: Status
    method: str
    title: str = ""
    dataset: str
    scenario: str
    backbone: str
    seed: int
    settings: dict[str, JsonValue] = {}
    strategy: str = OWN
    strategy_settings: dict[str, JsonValue] = {}
    facts: dict[str, Fact] = {}
    scenario_settings: dict[str, JsonValue] = {}
    training: dict[str, JsonValue] = {}
    changed: list[str] | None = None
    identity: dict[str, str] = {}
    code: dict[str, dict[str, str]] = {}
    protocol: int = 1
    versions: dict[str, str] = {}
    hardware: dict[str, JsonValue] = {}
    headline: list[str] = []
    trade_off: list[str] = Field(["local", "global"], min_length=2, max_length=2)
    words: str = ""
    about: dict[str, About] = {}
    metrics: dict[str, Metric] = {}
    measures: dict[str, Scale] = {}
    measured: dict[str, dict[str, Metric]] = {}
    not_applicable: dict[str, str] = {}
    clients: list[str] = []
    train_sizes: list[int] = []
    label_counts: list[dict[str, int]] = []
    never_sampled: int = 0
    traffic: Traffic = Traffic()
    trainable_parameters: int = 0
    times: dict[str, float] = {}
    round_seconds: list[float] | None = Field(None, min_length=3, max_length=3)
    peak_bytes: int | None = None
    notes: list[str] = []
    error: Failure | None = None
    started: str = ""
    finished: str = ""
    source: str = Field("", exclude=True)

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True)

    def numbers(self, measure: str = DEFAULT) -> dict[str, Metric]:
        """Question -> its number by a measure; none of a measure that was not there then."""
        return self.metrics if measure == DEFAULT else self.measured.get(measure, {})

    def to_json(self) -> str:
        fields = self.model_dump(by_alias=True)
        return json.dumps(fields, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

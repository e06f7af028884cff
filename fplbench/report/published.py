"""Numbers that papers printed, and in what their protocols differ from a cell's.

published.csv holds the numbers, published.yaml what must be said beside them. They are context,
never a target: the papers disagree with one another, since each ran its own protocol.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict

from fplbench.report.groups import absent, show


class Table(BaseModel):
    """A paper's table. training: what its repository sets; clients: where the table says none.

    notes: of all its numbers; methods: of those of one method.
    """

    model_config = ConfigDict(extra="forbid")

    paper: str
    table: str
    training: dict[str, float] = {}
    clients: int | None = None
    notes: list[str]
    methods: dict[str, str]


class Variant(BaseModel):
    """A published name for a method of ours with a setting above zero."""

    model_config = ConfigDict(extra="forbid")

    method: str
    above_zero: str


class Words(BaseModel):
    """published.yaml; its comments say what each part is."""

    model_config = ConfigDict(extra="forbid")

    scenarios: dict[str, str]
    backbones: dict[str, str]
    metrics: dict[str, str]
    variants: dict[str, Variant]
    plain: dict[str, str]
    zhou: str
    no_zhou_split: list[str]
    tables: list[Table]


@dataclass(frozen=True)
class Published:
    """One printed number, in our names.

    arch: open_clip's name, None where the paper's row names no backbone. alpha: of the Dirichlet
    split; clients, participation, shots: as printed, None where nothing is. std: as printed.
    """

    paper: str
    table: str
    method: str
    named: str
    dataset: str
    scenario: str
    arch: str | None
    metric: str
    mean: float
    std: float | None
    clients: int | None
    participation: float | None
    shots: str | None
    alpha: float | None

    @property
    def source(self) -> str:
        """The paper and its table, short."""
        return f"{self.paper.split(',')[0]}, table {self.table}"


@cache
def words() -> Words:
    """What published.csv leaves unsaid."""
    text = resources.files("fplbench.report").joinpath("published.yaml").read_text("utf-8")
    return Words.model_validate(yaml.safe_load(text))


@cache
def published() -> tuple[Published, ...]:
    """All printed numbers, those that are averages over a paper's data sets among them."""
    text = resources.files("fplbench.report").joinpath("published.csv").read_text("utf-8")
    return tuple(_number(row) for row in csv.DictReader(text.splitlines()))


def _number(row: Mapping[str, str]) -> Published:
    known = words()
    scenario, alpha = re.match(r"(.*?)(?:\(([\d.]+)\).*)?$", row["scenario"]).groups()  # type: ignore[union-attr]
    metric = row["metric"]
    variant = known.variants.get(row["method"])
    return Published(
        paper=row["paper"],
        table=row["table"],
        method=variant.method if variant else row["method"],
        named=row["method"],
        dataset=row["dataset"],
        scenario=known.scenarios[scenario],
        arch=known.backbones[row["backbone"]] if row["backbone"] else None,
        metric=known.metrics.get(metric, metric.replace("local:", "domain/")),
        mean=float(row["mean"]),
        std=float(row["std"]) if row["std"] else None,
        clients=int(row["clients"]) if row["clients"] else None,
        participation=float(row["participation"].rstrip("%")) / 100
        if row["participation"]
        else None,
        shots=row["shots"] or None,
        alpha=float(alpha) if alpha else None,
    )


def beside(cell: pd.Series[Any]) -> list[Published]:
    """The numbers of the same method, data set, scenario and backbone. cell: a row of the tidy
    table."""
    arch, _, weights = str(cell["backbone"]).partition(":")
    arch = arch.removesuffix("-quickgelu")
    is_file = "/" in weights or "." in weights
    if weights != "openai" and not is_file:
        return []  # the papers have OpenAI's weights, these are others
    return [
        one
        for one in published()
        if (one.method, one.dataset, one.scenario)
        == (cell["method"], cell["dataset"], cell["scenario"])
        and one.arch in (arch, None)
        and (one.arch is not None or arch in words().backbones.values())
        and _same_variant(one, cell)
    ]


def _same_variant(one: Published, cell: pd.Series[Any]) -> bool:
    variant, plain = words().variants.get(one.named), words().plain.get(one.method)
    if variant:
        return bool(_setting(cell, f"set.{variant.above_zero}"))
    return not (plain and _setting(cell, f"set.{plain}"))


def differences(one: Published, cell: pd.Series[Any]) -> list[str]:
    """In what a published number's protocol is known to differ from a cell's, or is not known."""
    return list(_differences(one, cell))


def _differences(one: Published, cell: pd.Series[Any]) -> Iterator[str]:
    table = next(t for t in words().tables if (t.paper, t.table) == (one.paper, one.table))
    theirs: dict[str, object] = {
        "clients": one.clients or table.clients,
        "participation": one.participation,
        **({"Dirichlet's alpha": one.alpha} if one.scenario in ("personal", "domains") else {}),
        **table.training,
    }
    ours: dict[str, object] = {
        "clients": cell["clients"],
        "Dirichlet's alpha": _alpha(cell),
        **{name: _setting(cell, f"train.{name}") for name in ("participation", *table.training)},
    }
    told = [
        f"{name.replace('_', ' ')} {show(value)} (ours {_shown(ours[name])})"
        for name, value in theirs.items()
        if value is not None and value != ours[name]
    ]
    if one.shots is not None and one.shots != "few-shot":
        shots = _setting(cell, "scen.shots")
        mine = "all" if absent(shots) else show(shots)
        told += [f"shots {one.shots} (ours {mine})"] if one.shots != mine else []
    short = one.source
    if told:
        yield f"{short}: {', '.join(told)}"
    unsaid = [name for name, value in theirs.items() if value is None]
    unsaid += ["backbone"] if one.arch is None else []
    unsaid += ["number of shots"] if one.shots in (None, "few-shot") else []
    unsaid += [] if table.training else ["rounds and local epochs"]
    if unsaid:
        yield f"{short}: not known here: {', '.join(unsaid)}"
    weights = str(cell["backbone"]).partition(":")[2]
    if weights != "openai":
        yield f"ours has the weights of {weights}, the papers OpenAI's"
    split = str(_setting(cell, "ident.split") or "not recorded")
    if not split.startswith(words().zhou) and one.dataset not in words().no_zhou_split:
        yield f"{one.dataset}: the papers have CoOp's split (split_zhou), ours is: {split}"
    note = table.methods.get(one.named)
    if note:
        yield note
    yield from table.notes


def _alpha(cell: pd.Series[Any]) -> object:
    """None where a domain has one client, so that nothing is dealt."""
    alone = _setting(cell, "scen.clients_per_domain") == 1
    return None if alone else _setting(cell, "scen.alpha")


def _setting(cell: pd.Series[Any], name: str) -> Any:
    value = cell.get(name)
    return None if absent(value) else value


def _shown(value: object) -> str:
    return "none" if value is None else show(value)

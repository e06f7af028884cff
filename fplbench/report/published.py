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

from fplbench.records.results import OFF
from fplbench.report.groups import WITHOUT_EFFECT, absent, show

Values = dict[str, str | bool | int | float | None]

SOME = "some"
"""Of a weight that a paper does not name: above zero."""
# What one asks of a run, not what the run is; the clients and shots are compared apart.
UNCOMPARED = (*WITHOUT_EFFECT, "train.evaluate_on", "scen.clients", "scen.shots")


class Table(BaseModel):
    """A paper's table, by what it or its repository says of its runs.

    training, scenario: as in our records; settings: of a method's by its name in the table, or of
    `all`. backbone, shots: where the rows name none. notes: of all its numbers; methods: of those
    of one method; copied: methods whose rows are another paper's, so that none of this holds.
    """

    model_config = ConfigDict(extra="forbid")

    paper: str
    table: str
    training: Values = {}
    scenario: Values = {}
    settings: dict[str, Values] = {}
    backbone: str | None = None
    shots: str | None = None
    notes: list[str] = []
    methods: dict[str, str] = {}
    copied: list[str] = []


class Words(BaseModel):
    """published.yaml; its comments say what each part is."""

    model_config = ConfigDict(extra="forbid")

    scenarios: dict[str, str]
    backbones: dict[str, str]
    metrics: dict[str, str]
    variants: dict[str, str]
    means: dict[str, Values]
    asks: Values
    footnoted: list[str]
    untrained: str
    classes: dict[str, int]
    near_chance: float
    zhou: str
    no_zhou_split: list[str]
    sgd: Values
    dassl: Values
    prompts: Values
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

    @property
    def classes(self) -> int | None:
        """How many compete; None for an average over data sets and for harmonic means."""
        whole = words().classes.get(self.dataset)
        if whole is None or self.metric in ("hm", "cm"):
            return None
        if self.scenario != "base2novel":
            return whole
        return whole // 2 if self.metric == "novel" else -(-whole // 2)

    @property
    def at_chance(self) -> bool:
        """Below `near_chance` times what guessing would give."""
        return bool(self.classes) and self.mean < words().near_chance * 100 / (self.classes or 1)


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
    metric, table = row["metric"], _table(row["paper"], row["table"])
    backbone = row["backbone"] or table.backbone
    return Published(
        paper=row["paper"],
        table=row["table"],
        method=known.variants.get(row["method"], row["method"]),
        named=row["method"],
        dataset=row["dataset"],
        scenario=known.scenarios[scenario],
        arch=known.backbones[backbone] if backbone else None,
        metric=known.metrics.get(metric, metric.replace("local:", "domain/")),
        mean=float(row["mean"]),
        std=float(row["std"]) if row["std"] else None,
        clients=int(row["clients"]) if row["clients"] else None,
        participation=float(row["participation"].rstrip("%")) / 100
        if row["participation"]
        else None,
        shots=row["shots"] or table.shots,
        alpha=float(alpha) if alpha else None,
    )


def _table(paper: str, table: str) -> Table:
    return next(t for t in words().tables if (t.paper, t.table) == (paper, table))


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
        and not _another(one, cell)
    ]


def _another(one: Published, cell: pd.Series[Any]) -> bool:
    """Whether a cell is another method than a number's, or answers another question.

    That is what a switch, a choice or a weight makes that is zero in one of them alone. A budget,
    a size, a precision does not: it is told in a footnote.
    """
    ours = _ours(cell)
    return any(
        _of_other_kind(theirs, ours[name])
        for name, theirs in _known(one).items()
        if name in ours and not name.startswith("train.") and _bare(name) not in words().footnoted
    )


def _of_other_kind(theirs: object, ours: object) -> bool:
    if theirs == SOME:
        return not ours
    if any(value is None or isinstance(value, bool | str) for value in (theirs, ours)):
        return theirs != ours
    return (theirs == 0) != (ours == 0)


def differences(one: Published, cell: pd.Series[Any]) -> list[str]:
    """In what a published number's protocol is known to differ from a cell's, or is not known."""
    return list(_differences(one, cell))


def _differences(one: Published, cell: pd.Series[Any]) -> Iterator[str]:
    ours, known = _ours(cell), _known(one)
    theirs = {name: value for name, value in known.items() if value != SOME}
    if one.named == words().untrained:  # the training tells nothing of it
        theirs = {name: v for name, v in theirs.items() if not name.startswith(("train.", "set."))}
    told = [
        f"{_title(name)} {_shown(value)} (ours {_shown(ours.get(name, _no(name)))})"
        for name, value in theirs.items()
        if value != ours.get(name)
    ]
    if one.shots is not None and one.shots != "few-shot":
        shots = _setting(cell, "scen.shots")
        mine = "all" if absent(shots) else show(shots)
        told += [f"shots {one.shots} (ours {mine})"] if one.shots != mine else []
    if told:
        yield f"{one.source}: {', '.join(told)}"
    unsaid = ["backbone"] if one.arch is None else []
    unsaid += ["number of shots"] if one.shots in (None, "few-shot") else []
    # Whatever a record holds and nothing is known of is named, so that no setting passes unsaid;
    # an option that is off is none.
    unsaid += [
        f"{_title(name)} (ours {_shown(value)})"
        for name, value in ours.items()
        if name not in theirs and (name not in OFF or value != OFF[name])
    ]
    if unsaid:
        yield f"{one.source}: not known here: {', '.join(unsaid)}"
    weights = str(cell["backbone"]).partition(":")[2]
    if weights != "openai":
        yield f"ours has the weights of {weights}, the papers OpenAI's"
    split = str(_setting(cell, "ident.split") or "not recorded")
    if not split.startswith(words().zhou) and one.dataset not in words().no_zhou_split:
        yield f"{one.dataset}: the papers have CoOp's split (split_zhou), ours is: {split}"
    yield from _chance(one)
    table = _table(one.paper, one.table)
    if one.named in table.methods:
        yield table.methods[one.named]
    yield from () if one.named in table.copied else table.notes


def no_evidence(one: Published) -> bool:
    """Whether a number says nothing: it is at chance, or zero-shot CLIP is in its table."""
    return one.at_chance or bool(_untrained_at_chance(one.paper, one.table, one.dataset))


def _chance(one: Published) -> Iterator[str]:
    rule = f"below {words().near_chance:g} times the chance among {one.classes} classes"
    untrained = _untrained_at_chance(one.paper, one.table, one.dataset)
    if untrained:
        low, high = min(untrained), max(untrained)
        yield (
            f"{one.source}: zero-shot CLIP is at chance on {one.dataset} in the paper itself "
            f"({low:g} to {high:g} %: {rule}), as class names would make it that do not belong to "
            "the labels; none of its numbers there can be compared"
        )
    elif one.at_chance:
        yield f"{one.source}: {one.mean:g} % is at or near chance in the paper itself ({rule})"


@cache
def _untrained_at_chance(paper: str, table: str, dataset: str) -> tuple[float, ...]:
    """The numbers of zero-shot CLIP in a table on a data set that are at chance."""
    return tuple(
        one.mean
        for one in published()
        if (one.paper, one.table, one.dataset) == (paper, table, dataset)
        and one.named == words().untrained
        and one.at_chance
    )


def _known(one: Published) -> dict[str, object]:
    """What is known of a number's run, by the columns of the tidy table."""
    table, every = _table(one.paper, one.table), words()
    own = (table.settings.get("all", {}), table.settings.get(one.named, {}))
    training = table.training
    if one.named in table.copied:
        own, training = ({}, {}), {}
    known: dict[str, object] = {f"train.{name}": value for name, value in training.items()}
    known |= {f"scen.{name}": value for name, value in (every.asks | table.scenario).items()}
    for settings in (every.means.get(one.named, {}), *own):
        known |= {f"set.{name}": value for name, value in settings.items()}
    clients = known.pop("scen.clients", None)
    printed = {"clients": one.clients or clients, "train.participation": one.participation}
    printed["scen.alpha"] = one.alpha
    return known | {name: value for name, value in printed.items() if value is not None}


def _ours(cell: pd.Series[Any]) -> dict[str, Any]:
    """What a record says of its run, without what has no effect there."""
    trained = cell["method"] != words().untrained
    kinds = ("train.", "scen.", "set.") if trained else ("scen.",)
    found = {
        str(name): cell[name]
        for name in cell.index
        if str(name).startswith(kinds) and name not in UNCOMPARED and not absent(cell[name])
    }
    if found.get("scen.clients_per_domain") == 1:  # nothing is dealt
        found.pop("scen.alpha", None)
    return {"clients": cell["clients"]} | found


def _bare(name: str) -> str:
    return name.rpartition(".")[2]


def _title(name: str) -> str:
    return "Dirichlet's alpha" if name == "scen.alpha" else _bare(name).replace("_", " ")


def _no(name: str) -> str:
    """What a record without such a setting says of it."""
    return "none" if name.startswith("scen.") else "not recorded"


def _setting(cell: pd.Series[Any], name: str) -> Any:
    value = cell.get(name)
    return None if absent(value) else value


def _shown(value: object) -> str:
    return "none" if value in (None, "") else show(value)

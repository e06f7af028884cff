"""What may stand side by side: cells with the same scenario, backbone and budget.

A group is one such set, and each table or plot shows one group. Within it a row is a method
with its settings, a column a data set; the seeds are what is averaged over.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from fplbench.plugins.measure import DEFAULT
from fplbench.records.phrases import some, was_or_were
from fplbench.records.record import Scale
from fplbench.records.results import LAST
from fplbench.report import reference_rows
from fplbench.report.words import About, about, headline, measured, scale

# A method's own choice of optimizer is no difference of budget: it goes to the row's label.
# Nor is it one that settings were chosen by a rule.
CHOSEN = "train.chosen_by"
OPTIMIZER = ("train.lr", "train.lr_schedule", "train.momentum", "train.weight_decay", CHOSEN)
# How often a run was evaluated changes its curves, not what it ended with. Moved starts are left
# out of the tidy table, so that all have nudge 0, or were made before there were any.
WITHOUT_EFFECT = ("train.evaluations", "train.nudge")
# An identity ("ident.NAME") is a method's, a data set's, or of the whole (weights, protocol):
# two versions of it are two rows, two columns, two tables. Never are they seeds of one.
OF_METHOD, OF_DATA = ("ident.method",), ("ident.data", "ident.split")

# Names that Windows keeps for devices, whatever ending a file has.
RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])", re.IGNORECASE)

AGAIN = "{} {} run more than once with these settings; the latest counts."
TWO_VERSIONS = "There are two versions of {}, so no average and no rank over data sets."


@dataclass(frozen=True)
class Group:
    """Cells that may be compared.

    name: for a file. shared: the settings that all of them have, by their column in the tidy
    table; told: those of them that tell this group from others of the same scenario.
    frame: the group's rows of the tidy table with columns "row" and "column", the labels of
    the method with its settings and of the data set; one cell a row, column and seed.
    rows, columns: these labels in the order of a table; methods: row -> its method.
    when: which evaluation the values are of, in a caption's words. doubled: data sets that have
    two columns, a version each; no average may count them twice.
    common: settings of methods, not the defaults, that all rows share and no label names.
    headline, trade_off, words, about: what the latest of its records say; about: of all of them.
    measure: what all numbers are of; scale: how they are read, as the latest record says.
    """

    name: str
    scenario: str
    backbone: str
    shared: dict[str, object]
    told: list[str]
    frame: pd.DataFrame
    rows: list[str]
    columns: list[str]
    methods: dict[str, str]
    when: str
    doubled: list[str]
    common: dict[str, object]
    headline: list[str]
    trade_off: tuple[str, str]
    words: str
    about: About
    measure: str
    scale: Scale
    notes: list[str]

    def seeds(self, column: str) -> list[int]:
        """The seeds that any method has numbers for on a data set."""
        return self._seeds[column]

    def common_seeds(self, columns: Iterable[str]) -> list[int]:
        """The seeds that some method has on each of these data sets."""
        return sorted(set.intersection(*(set(self._seeds[column]) for column in columns)))

    def cells(self, row: str, column: str) -> pd.DataFrame:
        """The rows of the frame of a method on a data set."""
        return self._parts.get((row, column), self.frame.iloc[:0])

    @cached_property
    def _seeds(self) -> dict[str, list[int]]:
        # A seed on which every cell stopped, or was not measured, is none that others lack.
        known = self.frame[self.frame["value"].notna()]
        found: dict[str, list[int]] = {str(column): [] for column in self.frame["column"].unique()}
        for column, seeds in known.groupby("column")["seed"]:
            found[str(column)] = sorted(set(map(int, seeds)))
        return found

    @cached_property
    def _parts(self) -> dict[tuple[str, str], pd.DataFrame]:
        # Cut once: every entry of a table asks for its part.
        parts = self.frame.groupby(["row", "column"], sort=False)
        return {(str(row), str(column)): part for (row, column), part in parts}


def split(table: pd.DataFrame, titles: Mapping[str, str]) -> list[Group]:
    """The groups of `load_results`'s table of one measure, sorted by scenario.

    titles: method -> display name, in the order of the rows; others follow by name. Cells that
    are all from before the measure was there are no group of it.
    """
    if table.empty:
        return []
    when = str(table.attrs.get("when", LAST))
    cells = table.drop_duplicates("id").set_index("id")
    shared = comparable(cells)
    keys = cells[shared].apply(_key, axis=1)
    parts = [cells[keys == key] for key in sorted(keys.unique())]
    return [
        _group(name, told, table[table["id"].isin(part.index)], part, shared, titles, when)
        for (name, told), part in zip(_names(parts, shared), parts, strict=True)
        if measured(part)
    ]


def comparable(cells: pd.DataFrame) -> list[str]:
    """The columns in which cells must agree to stand side by side."""
    names = ["scenario", "backbone", *_columns(cells, "scen."), *_columns(cells, "train.")]
    names += identities(cells).of_all
    return [name for name in names if name not in (*OPTIMIZER, *WITHOUT_EFFECT)]


@dataclass(frozen=True)
class Identities:
    """The columns of identities: whose each is."""

    of_method: list[str]
    of_data: list[str]
    of_all: list[str]


def identities(cells: pd.DataFrame) -> Identities:
    """Of a tidy table. One that is not known here is taken for one of the whole."""
    names = _columns(cells, "ident.")
    of_method = [name for name in names if name.startswith(OF_METHOD)]
    of_data = [name for name in names if name.startswith(OF_DATA)]
    return Identities(
        of_method, of_data, [n for n in names if n not in of_method and n not in of_data]
    )


def show(value: object) -> str:
    """A setting's value as people write it; two values never read the same."""
    if isinstance(value, float):
        text = f"{value:g}"
        return text if float(text) == value or absent(value) else repr(value)
    return str(value)


def _group(
    name: str,
    told: list[str],
    frame: pd.DataFrame,
    cells: pd.DataFrame,
    shared: list[str],
    titles: Mapping[str, str],
    when: str,
) -> Group:
    common = in_common(cells)
    labels = row_labels(cells, titles, common)
    cells = cells.assign(row=labels, column=_columns_of_data(cells))
    latest = cells.sort_values("finished").sort_values(
        "status", key=lambda status: status == "done", kind="stable"
    )
    once = latest.drop_duplicates(["row", "column", "seed"], keep="last")
    twice = len(cells) - len(once)
    again = [AGAIN.format(some(twice, "cell"), was_or_were(twice))] if twice else []
    once = once.assign(row=reference_rows.signed(once))
    frame = frame[frame["id"].isin(once.index)].copy()
    for label in ("row", "column"):
        frame[label] = frame["id"].map(once[label])
    order = {method: place for place, method in enumerate(titles)}
    methods = dict(zip(once["row"], once["method"], strict=True))
    first = cells.iloc[0]
    newest = cells.sort_values("finished")
    gained, kept = str(newest["trade_off"].iloc[-1]).split("\n")
    measure = str(newest["measure"].iloc[-1])
    notes = reference_rows.notes(once) + again
    versions = once.groupby("dataset")["column"].nunique()
    doubled = [str(data) for data in versions.index[versions > 1]]
    return Group(
        name=name if measure == DEFAULT else f"{name}-{measure}",
        scenario=str(first["scenario"]),
        backbone=str(first["backbone"]),
        shared={name: first[name] for name in shared if not absent(first[name])},
        told=told,
        frame=frame,
        rows=sorted(methods, key=lambda row: (order.get(methods[row], len(order)), natural(row))),
        columns=sorted(set(once["column"]), key=natural),
        methods=methods,
        when=when,
        doubled=doubled,
        common=common,
        headline=headline(newest),
        trade_off=(gained, kept),
        words=str(newest["words"].iloc[-1]),
        about=about(newest),
        measure=measure,
        scale=scale(newest),
        notes=[*notes, *([TWO_VERSIONS.format(", ".join(doubled))] if doubled else [])],
    )


def row_labels(
    cells: pd.DataFrame, titles: Mapping[str, str], unsaid: Collection[str] = ()
) -> pd.Series[str]:
    """A label a cell: the method's title, the settings that tell its variants apart, and those
    that are not the defaults. Settings that `fplbench tune` chose are named below a table; the
    label says "tuned".

    cells: one row a cell, indexed by id. unsaid: settings that need no label, being named
    elsewhere, unless they tell variants apart.
    """
    told = {name: values for name, values in unusual(cells).items() if name not in unsaid}
    own, versions = _columns(cells, "set."), identities(cells).of_method
    names = [titles.get(method, method) for method in cells["method"].unique()]
    labels: dict[object, str] = {}
    for chosen, of_kind in cells.groupby(is_chosen(cells)):
        optimizer = [name for name in OPTIMIZER if name in cells and name != CHOSEN]
        for method, part in of_kind.groupby("method", sort=False):
            title = titles.get(str(method), str(method))
            if names.count(title) > 1:  # a plug-in that took another method's title
                title = f"{title}, {method}"
            # A setting whose default follows from the data set does not make two variants.
            sets = [of_data for _, of_data in part.groupby("dataset", sort=False)]
            varying = [name for name in own if any(_varying(each, [name]) for each in sets)]
            apart = _varying(part, versions)
            # A rate that some untuned method has for its own is named for all of them.
            rivals = sets if chosen else [of_kind]
            rates = [name for name in optimizer if any(_varying(each, [name]) for each in rivals)]
            for cell_id, cell in part.iterrows():
                changed = {n for n in own if (method, exact(cell[n])) in told.get(n, ())}
                named = [n for n in own if n in varying or (n in changed and not chosen)]
                label = _told(cell, [*named, *apart, *rates])
                labels[cell_id] = _with_words(title, [*(["tuned"] if chosen else []), *label])
    return pd.Series(labels)


def is_chosen(cells: pd.DataFrame) -> pd.Series[bool]:
    """Of each cell, whether a rule chose its settings."""
    if CHOSEN not in cells:
        return pd.Series(False, index=cells.index)
    return cells[CHOSEN].map(lambda rule: not absent(rule))


def unusual(cells: pd.DataFrame) -> dict[str, set[tuple[str, str]]]:
    """Settings of methods that were not the defaults: column -> (method, value).

    As their records say; those from before this was recorded follow the others' word.
    """
    found: dict[str, set[tuple[str, str]]] = {}
    for _, cell in cells[cells["changed"].notna()].iterrows():
        for name in str(cell["changed"]).split("\n"):
            if name.startswith("set."):
                found.setdefault(name, set()).add((str(cell["method"]), exact(cell[name])))
    return found


def in_common(cells: pd.DataFrame) -> dict[str, object]:
    """The unusual settings that are the same in every cell of at least two methods that have
    them: said once, not in every label."""
    common = {}
    for name, changed in unusual(cells).items():
        having = cells[cells[name].map(lambda value: not absent(value))]
        values = {(str(m), exact(v)) for m, v in zip(having["method"], having[name], strict=True)}
        if values <= changed and len(values) > 1 and len({value for _, value in values}) == 1:
            common[name] = having[name].iloc[0]
    return common


def _columns_of_data(cells: pd.DataFrame) -> pd.Series[str]:
    """A label a cell: the data set, and what tells two versions of it apart."""
    identity = identities(cells).of_data
    labels: dict[object, str] = {}
    for dataset, part in cells.groupby("dataset", sort=False):
        varying = _varying(part, identity)
        for cell_id, cell in part.iterrows():
            labels[cell_id] = _label(str(dataset), cell, varying)
    return pd.Series(labels)


def _label(title: str, cell: pd.Series[Any], varying: Iterable[str]) -> str:
    return _with_words(title, _told(cell, varying))


def _with_words(title: str, words: Sequence[str]) -> str:
    return f"{title} ({', '.join(words)})" if words else title


def _told(cell: pd.Series[Any], names: Iterable[str]) -> list[str]:
    """NAME=VALUE; a setting that a cell has not is left out, an identity is not."""
    found = []
    for name in names:
        bare = name.split(".", 1)[-1]
        if not absent(cell[name]):
            found.append(f"{bare}={show(cell[name])}")
        elif name.startswith("ident."):
            found.append(f"{bare} not recorded")
    return found


def _varying(cells: pd.DataFrame, names: Iterable[str]) -> list[str]:
    return [name for name in names if len({exact(value) for value in cells[name]}) > 1]


def exact(value: object) -> str:
    """For comparing: what is absent is the same however it is written."""
    return repr(None if absent(value) else value)


def _columns(cells: pd.DataFrame, prefix: str) -> list[str]:
    return [name for name in cells.columns if name.startswith(prefix)]


def _names(parts: list[pd.DataFrame], shared: list[str]) -> list[tuple[str, list[str]]]:
    """Of each group: a file's name, and what tells it from others of the same scenario."""
    scenarios = [str(part["scenario"].iloc[0]) for part in parts]
    found: list[tuple[str, list[str]]] = []
    taken: set[str] = set()
    for part, scenario in zip(parts, scenarios, strict=True):
        rivals = pd.concat([p for p, s in zip(parts, scenarios, strict=True) if s == scenario])
        told = _told(part.iloc[0], _varying(rivals, shared))
        found.append((free_name(file_name("-".join([scenario, *told])), taken), told))
    return found


def file_name(text: str) -> str:
    """A name for a file that every file system and LaTeX takes. One that would lose letters, be
    cut, or be a device's on Windows ends with a hash, so that two such texts have two names."""
    name = re.sub(r"[^A-Za-z0-9.=-]+", "-", text).strip("-.").replace(".", "p")
    whole = all(letter.isascii() or not letter.isalnum() for letter in text)
    if name and whole and len(name) <= 80 and not RESERVED.fullmatch(name):
        return name
    digest = hashlib.sha256(unicodedata.normalize("NFC", text).encode("utf-8", "replace"))
    return f"{name[:72]}-{digest.hexdigest()[:7]}".lstrip("-")


def free_name(name: str, taken: set[str]) -> str:
    """The name, or with a number behind it where it is taken, also by one that differs in case
    alone, which many file systems do not tell apart; it is taken from now on."""
    number, free = 1, name
    while free.lower() in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free.lower())
    return free


def natural(text: str) -> list[tuple[int, str]]:
    """A sort key by which 2 comes before 10."""
    return [
        (int(part), "") if part.isdigit() else (-1, part.lower())
        for part in re.split(r"(\d+)", text)
    ]


def _key(cell: pd.Series[Any]) -> str:
    return repr([exact(value) for value in cell])


def absent(value: object) -> bool:
    """Whether a cell has no such setting."""
    return value is None or (isinstance(value, float) and value != value)

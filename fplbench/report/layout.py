"""A group of cells as tables: which there are, and what stands in each entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from fplbench.plugins.measure import DEFAULT
from fplbench.report import captions
from fplbench.report.captions import Kind
from fplbench.report.entries import COSTS, ON_GPU, PARTIAL, Entry, average, cost, mark, number
from fplbench.report.groups import Group, file_name
from fplbench.report.significance import Ranking, ranking
from fplbench.report.words import title

# As many as fit a column of a paper beside the methods' names.
WIDEST = 5
# Fewer data sets than this say nothing of ranks.
RANKED = 3

KINDS: tuple[Kind, ...] = ("headline", "average", "rank", "domains", "more", "cost")


@dataclass
class Row:
    """A method with its entries; fewer: the number of seeds where it holds for all of them."""

    label: str
    entries: list[Entry]
    fewer: int | None = None


@dataclass
class Layout:
    """One table.

    heads: (data set, its columns' titles); quantities: the columns' names in the tidy table; a
    row's entries are in the same order. corner: what the rows are.
    caption: sentences; over: the last of them, what the numbers are a mean of; notes: what the
    entries leave unsaid. cells: the ids of those behind the numbers; commands: that make them
    again, where the records are known.
    """

    name: str
    kind: Kind
    heads: list[tuple[str, list[str]]]
    quantities: list[str]
    rows: list[Row]
    caption: str
    notes: list[str] = field(default_factory=list)
    corner: str = "Method"
    over: str = ""
    cells: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    @property
    def titles(self) -> list[tuple[str, str]]:
        return [(head, title) for head, titles in self.heads for title in titles]


def lay_out(group: Group, kinds: Sequence[Kind] = KINDS) -> list[Layout]:
    """The group's tables: headline metrics, their averages and ranks over data sets, domains one
    by one, all other metrics, cost.

    A table that would be wider than WIDEST is cut into one for each data set.
    """
    layouts = []
    for kind in kinds:
        columns = {data: quantities(group, data, kind) for data in group.columns}
        columns = {data: names for data, names in columns.items() if names}
        if kind in ("average", "rank"):
            layouts += _over_data_sets(group, kind, columns)
            continue
        if sum(map(len, columns.values())) <= WIDEST:
            parts = [columns] if columns else []
        else:
            parts = [{data: names} for data, names in columns.items()]
        layouts += [by_data_set(group, kind, part) for part in parts]
    return layouts


def quantities(group: Group, column: str, kind: Kind) -> list[str]:
    """The names of a kind's numbers on a data set."""
    frame = group.frame.loc[group.frame["column"] == column, ["metric", "on_gpu"]]
    seen = list(dict.fromkeys(frame["metric"].dropna()))
    headline = group.headline or [name for name in seen if "/" not in name]
    if kind == "cost":
        none = () if frame["on_gpu"].astype(bool).any() else ON_GPU
        # What a cell costs stands beside its accuracies.
        shown = bool(seen) and group.measure == DEFAULT
        return [name for name in COSTS if name not in none] if shown else []
    if kind in ("headline", "average", "rank"):
        # Where every cell stopped, nothing tells which metrics there would have been.
        return [name for name in headline if name in seen] or headline[:2]
    if kind == "domains":
        return [name for name in seen if "/" in name]
    known = {name: place for place, name in enumerate(group.about)}
    more = [name for name in seen if name not in headline and "/" not in name]
    return sorted(more, key=lambda name: known.get(name, len(known)))


def by_data_set(group: Group, kind: Kind, columns: Mapping[str, Sequence[str]]) -> Layout:
    """A table with these columns. columns: data set -> quantities."""
    asked = [(data, name) for data, names in columns.items() for name in names]
    rows = [Row(row, [entry(group, row, *column) for column in asked]) for row in group.rows]
    if kind != "cost":
        for place in range(len(asked)):
            mark([row.entries[place] for row in rows], group.scale.lower_is_better)
    only = next(iter(columns)) if len(columns) < len(group.columns) else ""
    heads = [
        (data, [title(name, group.about) for name in names]) for data, names in columns.items()
    ]
    notes = captions.notes(group, kind, columns, [(row.label, row.entries) for row in rows])
    return _layout(group, kind, only, heads, [name for _, name in asked], rows, notes)


def entry(group: Group, row: str, column: str, quantity: str) -> Entry:
    """A method's number on a data set."""
    cells = group.cells(row, column)
    # Its own that stopped count too, where nobody else has them: no seed is averaged away.
    seeds = len({*group.seeds(column), *cells["seed"]})
    if quantity in COSTS:
        return cost(cells, quantity, seeds)
    return number(cells, quantity, seeds, group.scale.decimals)


def _over_data_sets(group: Group, kind: Kind, columns: Mapping[str, Sequence[str]]) -> list[Layout]:
    """Averages, or ranks; each metric over the data sets, which must all have it."""
    every = shared_quantities(columns)
    if len(columns) < (RANKED if kind == "rank" else 2) or group.doubled:
        return []
    parts = [every[first : first + WIDEST] for first in range(0, len(every), WIDEST)]
    found = [
        _of_metrics(group, kind, columns, shared, str(number) if number > 1 else "")
        for number, shared in enumerate(parts, start=1)
    ]
    return [layout for layout in found if layout is not None]


def _of_metrics(
    group: Group,
    kind: Kind,
    columns: Mapping[str, Sequence[str]],
    shared: Sequence[str],
    number: str,
) -> Layout | None:
    """number: of the table, where there are several."""
    parts = {name: over_data_sets(group, columns, name) for name in shared}
    if kind == "average":
        seeds = group.common_seeds(columns)
        rows = [Row(r, [average(parts[name][r], seeds) for name in shared]) for r in group.rows]
        for place in range(len(shared)):
            mark([row.entries[place] for row in rows], group.scale.lower_is_better)
        more = []
    else:
        lower = group.scale.lower_is_better
        found = {name: rank_over_data_sets(each, lower) for name, each in parts.items()}
        if not any(found.values()):
            return None
        rows = [Row(row, [_rank(found[name], row) for name in shared]) for row in group.rows]
        more = captions.ranked(found, group.about)
    used = dict.fromkeys(columns, shared)
    heads = [(f"{len(columns)} data sets", [title(name, group.about) for name in shared])]
    labelled = [(row.label, row.entries) for row in rows]
    notes = [*captions.notes(group, kind, used, labelled), *more]
    return _layout(group, kind, "", heads, list(shared), rows, notes, number)


def shared_quantities(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Those that all data sets have. columns: data set -> quantities."""
    names = dict.fromkeys(name for names in columns.values() for name in names)
    return [name for name in names if all(name in names for names in columns.values())]


def over_data_sets(
    group: Group, columns: Iterable[str], quantity: str
) -> dict[str, dict[str, Entry]]:
    """Row -> data set -> its entry."""
    return {
        row: {data: entry(group, row, data, quantity) for data in columns} for row in group.rows
    }


def rank_over_data_sets(
    parts: Mapping[str, Mapping[str, Entry]], lower_is_better: bool = False
) -> Ranking | None:
    """Of the methods that have all seeds on every data set. parts: row -> data set -> entry."""
    means = {
        row: {data: one.mean for data, one in each.items()}
        for row, each in parts.items()
        if all(one.mean is not None and not one.fewer for one in each.values())
    }
    return ranking(pd.DataFrame(means), lower_is_better)


def _rank(found: Ranking | None, row: str) -> Entry:
    if found is None or row not in found.ranks:
        return Entry(PARTIAL)
    mine = found.ranks[row]
    near = mine - min(found.ranks.values()) < found.critical
    return Entry(f"{mine:.2f}", mine, seeds=found.data_sets, mark="best" if near else "")


def _layout(
    group: Group,
    kind: Kind,
    only: str,
    heads: list[tuple[str, list[str]]],
    names: list[str],
    rows: list[Row],
    notes: list[str],
    number: str = "",
) -> Layout:
    for row in rows:
        _lift_fewer(row)
    kinds = [kind] if kind != "headline" else []
    parts = [group.name, *([only] if only else []), *kinds, *([number] if number else [])]
    data = (
        [only] if only else group.columns if kind in ("average", "rank") else [h for h, _ in heads]
    )
    caption = captions.caption(group, kind, data, [row.entries for row in rows])
    behind = group.frame["column"].isin([only] if only else group.columns)
    return Layout(
        name="-".join(map(file_name, parts)),
        kind=kind,
        heads=heads,
        quantities=names,
        rows=rows,
        caption=str(caption),
        over=caption.over,
        notes=notes,
        cells=list(dict.fromkeys(group.frame.loc[behind, "id"])),
    )


def _lift_fewer(row: Row) -> None:
    """Say once at the label what holds for the whole row; a narrow column has no room for more."""
    numbers = [entry for entry in row.entries if entry.mean is not None]
    if numbers and all(entry.fewer for entry in numbers):
        counts = {entry.seeds for entry in numbers}
        if len(counts) == 1:
            row.fewer = counts.pop()


def long_table(layouts: Sequence[Layout]) -> pd.DataFrame:
    """All entries, one a row, with numbers as they are and not as printed."""
    return pd.DataFrame(
        [
            {
                "table": layout.name,
                "row": row.label,
                "dataset": head,
                "quantity": quantity,
                "mean": entry.mean,
                "std": entry.std,
                "low": entry.low,
                "high": entry.high,
                "seeds": entry.seeds,
                "state": "value" if entry.mean is not None else entry.text,
                "mark": entry.mark,
            }
            for layout in layouts
            for row in layout.rows
            for (head, _), quantity, entry in zip(
                layout.titles, layout.quantities, row.entries, strict=True
            )
        ]
    )

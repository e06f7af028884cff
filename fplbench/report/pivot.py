"""A table with rows and columns of one's own choice, from the tidy table.

Nothing is averaged or compared that may not be: what varies within an entry, but for seeds and
data sets, and what varies over the table of the scenario, the backbone, the budget and the
identities (versions of the method, data, weights), has to be a row, a column, or narrowed down to
one value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from fplbench.errors import UserError
from fplbench.plugins.measure import DEFAULT
from fplbench.records.phrases import and_, some
from fplbench.records.results import LAST, OFF
from fplbench.report import captions
from fplbench.report.entries import COSTS, Entry, average, cost, mark, number
from fplbench.report.groups import (
    OPTIMIZER,
    WITHOUT_EFFECT,
    absent,
    exact,
    file_name,
    identities,
    natural,
    show,
    unusual,
)
from fplbench.report.layout import Layout, Row
from fplbench.report.words import Scales, about, explained, in_words, meanings, scales, title

PLAIN = ("method", "dataset", "scenario", "backbone", "seed")
PREFIXES = ("set.", "scen.", "train.", "ident.")
COSTLY = "Parameters, bytes, seconds and memory are metrics too: " + ", ".join(COSTS) + "."


@dataclass(frozen=True)
class Pivot:
    """What a table shows. rows, columns: columns of the tidy table, or the settings' bare names;
    where: such a name -> the value that cells must have."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    where: Mapping[str, str]


def pivot(results: pd.DataFrame, titles: Mapping[str, str], asked: Pivot) -> Layout:
    """The table. results: of load_results, of one measure or of all. UserError where names mean
    nothing or cells differ in something that is neither a row nor a column."""
    rows = [resolve(results, name) for name in asked.rows]
    columns = [resolve(results, name) for name in asked.columns]
    cells = _narrowed(results, {resolve(results, k): v for k, v in asked.where.items()})
    metrics = _metrics(cells, asked.metrics)
    cells = cells.assign(
        row=_labels(cells, rows, titles, bare=len(rows) == 1),
        column=_labels(cells, columns, titles, bare=False),
    )
    _refuse_mixtures(cells, [*rows, *columns])
    cells = _latest(cells)
    newest = cells.sort_values("finished")
    called, read = about(newest), scales(newest)
    shown_rows = _in_order(cells, "row", rows, titles)
    shown_columns = _in_order(cells, "column", columns, titles)
    body = [
        Row(
            row,
            [
                _entry(cells, row, column, metric, read, rows)
                for column in shown_columns
                for metric in metrics
            ],
        )
        for row in shown_rows
    ]
    comparable = not {"dataset", "seed", "scenario", "backbone"} & set(rows)
    for place in range(len(shown_columns) * len(metrics) if comparable else 0):
        metric = metrics[place % len(metrics)]
        if metric not in COSTS:
            mark([row.entries[place] for row in body], read[metric].lower_is_better)
    words = ["-".join(asked.rows), "by", *asked.columns, *asked.metrics]
    return Layout(
        name=file_name("-".join(words).replace(".", "-")),
        kind="pivot",
        heads=[(c, [title(m, called) for m in metrics]) for c in shown_columns],
        quantities=metrics * len(shown_columns),
        rows=body,
        caption=_caption(cells, [*rows, *columns], metrics, body, comparable),
        notes=[
            *dict.fromkeys(explained(read[name]) for name in metrics if _is_other(cells, name)),
            *meanings(metrics, called),
            *captions.on_rounding(
                [(row.label, row.entries) for row in body],
                [f"{title(m, called)} ({c})" for c in shown_columns for m in metrics],
            ),
            *_notes(cells, body, [*rows, *columns]),
        ],
        corner=", ".join("Method" if name == "method" else _bare(name) for name in rows),
        cells=list(dict.fromkeys(cells["id"])),
    )


def resolve(results: pd.DataFrame, name: str) -> str:
    """A column of the tidy table by its name, or by a setting's name without its group."""
    if name in PLAIN or (name in results and name.startswith(PREFIXES)):
        return name
    found = [f"{prefix}{name}" for prefix in PREFIXES if f"{prefix}{name}" in results]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{name} may be any of {', '.join(found)}: write one of these.")
    known = [*PLAIN, *(column for column in map(str, results) if column.startswith(PREFIXES))]
    raise UserError(f"The records have no {name}; they have {', '.join(known)}.")


def _narrowed(results: pd.DataFrame, where: Mapping[str, str]) -> pd.DataFrame:
    for name, wanted in where.items():
        values = results[name].map(_shown)
        wanted = wanted if wanted in set(values) else _as_shown(wanted)
        if wanted not in set(values):
            have = sorted(set(values), key=natural)
            raise UserError(f"No record has {name}={wanted}; there are {', '.join(have)}.")
        results = results[values == wanted]
    if results.empty:
        raise UserError("No record fits all of --where: leave one out.")
    return results


def _metrics(cells: pd.DataFrame, asked: Sequence[str]) -> list[str]:
    there = list(dict.fromkeys(cells["metric"].dropna()))
    unknown = [name for name in asked if name not in there and name not in COSTS]
    if unknown and not there:
        raise UserError("None of these cells has numbers: `fplbench status` says how they ended.")
    if unknown:
        raise UserError(
            f"These records have no metric {unknown[0]}; they have {', '.join(there)}. {COSTLY}"
        )
    return list(dict.fromkeys(asked))


def _refuse_mixtures(cells: pd.DataFrame, named: Sequence[str]) -> None:
    """Cells of one table that may not be averaged or compared, all reasons at once."""
    cells = cells.drop_duplicates("id")
    table_wide = ["scenario", "backbone", *_with(cells, "scen."), *_with(cells, "train.")]
    free = {*named, *OPTIMIZER, *WITHOUT_EFFECT}
    of_scenario = [part for _, part in cells.groupby("scenario")]

    def differs(name: str) -> bool:
        # A scenario's settings are compared within it; another one has others.
        parts = of_scenario if name.startswith("scen.") else [cells]
        return any(_values(part, name) > 1 for part in parts)

    mixed = [name for name in table_wide if name not in free and differs(name)]
    known = identities(cells)
    within = [
        (["row", "column", "dataset"], [*_with(cells, "set."), *OPTIMIZER]),
        (["method"], known.of_method),
        (["dataset"], known.of_data),
        (["backbone"], known.of_all),
    ]
    mixed += [
        name
        for keys, names in within
        for name in names
        if name in cells
        and name not in named
        and any(_values(part, name) > 1 for _, part in cells.groupby(keys))
    ]
    if "method" not in named and _values(cells, "method") > 1:
        mixed.append("method")
    if mixed:
        values = {
            name: ", ".join(sorted({_shown(v) for v in cells[name]}, key=natural)) for name in mixed
        }
        raise UserError(
            f"These cells differ in {'; in '.join(f'{n} ({v})' for n, v in values.items())}: "
            "name it in --rows or --columns, or narrow it down with --where NAME=VALUE."
        )


def _latest(cells: pd.DataFrame) -> pd.DataFrame:
    """One cell an entry, data set and seed: a done one before others, then the latest."""
    order = cells.drop_duplicates("id").sort_values("finished")
    order = order.sort_values("status", key=lambda s: s == "done", kind="stable")
    once = order.drop_duplicates(["row", "column", "dataset", "seed"], keep="last")
    return cells[cells["id"].isin(once["id"])]


def _is_other(cells: pd.DataFrame, metric: str) -> bool:
    """Whether a metric is of another measure than accuracy."""
    return bool((cells.loc[cells["metric"] == metric, "measure"] != DEFAULT).any())


def _entry(
    cells: pd.DataFrame, row: str, column: str, metric: str, read: Scales, rows: Sequence[str]
) -> Entry:
    """The mean over seeds, and over the data sets that the column has in any row.

    rows: what the rows are told apart by. A row of one data set, or of one seed, has its own alone.
    """
    of_column = cells[cells["column"] == column]
    mine = of_column[of_column["row"] == row]
    wanted = cells[cells["row"] == row] if "dataset" in rows else of_column
    parts = {}
    for data in sorted(set(wanted["dataset"])):
        here = of_column[of_column["dataset"] == data]
        one = mine[mine["dataset"] == data]
        seeds = int((one if "seed" in rows else here)["seed"].nunique())
        if metric in COSTS:
            parts[data] = cost(one, metric, seeds)
        else:
            parts[data] = number(one, metric, seeds, read[metric].decimals)
    if len(parts) == 1:
        return next(iter(parts.values()))
    if metric in COSTS:
        raise UserError(f"{metric} is no average over data sets: add dataset to --columns.")
    common = set.intersection(*(_seeds(of_column, data) for data in parts))
    return average(parts, common)


def _seeds(cells: pd.DataFrame, data: str) -> set[int]:
    return set(map(int, cells.loc[cells["dataset"] == data, "seed"]))


def _labels(
    cells: pd.DataFrame, names: Sequence[str], titles: Mapping[str, str], bare: bool
) -> pd.Series[str]:
    """bare: a single setting's value alone, without its name."""
    known = [titles.get(str(method), str(method)) for method in cells["method"].unique()]

    def word(name: str, value: object) -> str:
        if name == "method":
            title = titles.get(str(value), str(value))
            return f"{title}, {value}" if known.count(title) > 1 else title
        text = _shown(value)
        return text if bare or name in PLAIN[:4] else f"{_bare(name)} {text}"

    if not names:
        return pd.Series("all", index=cells.index)
    parts = [cells[name].map(lambda value, name=name: word(name, value)) for name in names]
    return pd.concat(parts, axis=1).agg(", ".join, axis=1)


def _in_order(
    cells: pd.DataFrame, label: str, names: Sequence[str], titles: Mapping[str, str]
) -> list[str]:
    """Labels by the values behind them: methods as in titles, numbers by size."""
    place = {method: position for position, method in enumerate(titles)}

    def key(value: object, name: str) -> tuple[float, list[tuple[int, str]]]:
        if name == "method":
            return (place.get(str(value), len(place)), natural(str(value)))
        number = isinstance(value, int | float) and not isinstance(value, bool) and value == value
        return (float(str(value)) if number else float("inf"), natural(str(value)))

    first = cells.drop_duplicates(label)
    keys = {
        str(cell[label]): [key(cell[name], name) for name in names] for _, cell in first.iterrows()
    }
    return sorted(keys, key=lambda text: keys[text])


def _caption(
    cells: pd.DataFrame,
    named: Sequence[str],
    metrics: Sequence[str],
    rows: Sequence[Row],
    comparable: bool,
) -> str:
    read = scales(cells.sort_values("finished"))
    measured = list(dict.fromkeys(in_words(read[name]) for name in metrics if name not in COSTS))
    when = cells.attrs.get("when", LAST)
    what = f"{captions.sentence(and_(measured))} {when}" if measured else "Cost"
    if measured and any(metric in COSTS for metric in metrics):
        what += ", and cost"
    if len(metrics) == 1:
        what += f" ({title(metrics[0], about(cells))})"
    data = sorted(set(cells["dataset"]), key=natural)
    over = "" if "dataset" in named else f" on {and_(data)}"
    if "dataset" not in named and len(data) > 1:
        over += ", each counting once"
    columns = zip(*(row.entries for row in rows), strict=True)
    most = {max((e.seeds for e in column if e.mean is not None), default=0) for column in columns}
    seeds = sorted(most - {0})
    count = some(" or ".join(map(str, seeds)), "seed") if seeds else "no seed"
    named_alike = ["scenario", "backbone", "ident.protocol"]
    constant = [
        f"{_bare(name)} {_shown(cells[name].iloc[0])}"
        for name in [*named_alike, *_with(cells, "scen."), *_with(cells, "train.")]
        if name not in (*named, *WITHOUT_EFFECT)
        and _values(cells, name) == 1
        and not absent(cells[name].iloc[0])
        and (name not in OFF or cells[name].iloc[0] != OFF[name])  # no "evaluated_clients 0"
    ]
    averaged = len(data) > 1 and "dataset" not in named
    names = [name for _ in rows[0].entries[:: len(metrics)] for name in metrics]
    ranked = [
        [each for each, name in zip(row.entries, names, strict=True) if name not in COSTS]
        for row in rows
    ]
    marks = captions.marked(ranked, averaged)
    spread = "mean and standard deviation" if measured and seeds != [1] else "mean"
    timed = " (seconds: median and range)" if "seconds_round" in metrics else ""
    text = f"{what}{over}; {spread} over {count}{timed}. {', '.join(constant)}."
    return f"{text} {marks}".strip() if comparable else text


def _notes(cells: pd.DataFrame, rows: Sequence[Row], named: Sequence[str]) -> list[str]:
    labelled = [(row.label, row.entries) for row in rows]
    notes = captions.entry_notes(labelled)
    optimizer = [name for name in OPTIMIZER if name in cells and _values(cells, name) > 1]
    for name in optimizer:
        each = cells.drop_duplicates(["row", name])
        words = [f"{_shown(cell[name])} ({cell['row']})" for _, cell in each.iterrows()]
        notes.append(f"{_bare(name)}: {', '.join(words)}.")
    once = cells.drop_duplicates("id")
    for name, changed in unusual(once).items():
        values = {
            f"{_shown(cell[name])} ({cell['row']})": None
            for _, cell in once.iterrows()
            if (cell["method"], exact(cell[name])) in changed
        }
        if name not in named:
            notes.append(f"Not the default: {_bare(name)} {', '.join(values)}.")
    return notes + captions.stopped(cells[cells["status"] != "done"].drop_duplicates("id"))


def _with(cells: pd.DataFrame, prefix: str) -> list[str]:
    return [name for name in cells.columns if name.startswith(prefix)]


def _values(cells: pd.DataFrame, name: str) -> int:
    return len({_shown(value) for value in cells[name]})


def _shown(value: object) -> str:
    return "none" if absent(value) else show(value)


def _as_shown(text: str) -> str:
    """1.0 and 1 are the same number."""
    try:
        return show(float(text))
    except ValueError:
        return text


def _bare(name: str) -> str:
    return name.split(".", 1)[1] if name.startswith(PREFIXES) else name


def parse_where(texts: Iterable[str]) -> dict[str, str]:
    """NAME=VALUE of the command line."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UserError(f"--where {text}: write NAME=VALUE, for example scenario=domains.")
        found[name.strip()] = value.strip()
    return found

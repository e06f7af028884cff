"""Tidy pandas tables from a store, or from a folder of stores.

Every table begins with the columns of CELL and ends with the cell's settings, a column each:
"set.NAME" (the method's, its strategy and what of that is no default), "scen.NAME" (the
scenario's), "train.NAME" (the engine's) and "ident.NAME" (fingerprints and versions); None where a
cell has no such setting. Cells lie in folders, or in a packed file (`packed`). What cannot be read
is named in a warning and in `table.attrs["problems"]`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from pydantic import JsonValue

from fplbench.errors import UserError
from fplbench.metrics.accuracy import Accuracy
from fplbench.plugins.measure import DEFAULT, metric
from fplbench.records import packed
from fplbench.records.record import Record, Scale
from fplbench.records.settings import Row, settings_of
from fplbench.records.starts import Found, drawn, numbers, repeats, spread
from fplbench.records.store import (
    DamagedRecord,
    Problem,
    cell_folders,
    read_or_explain,
)
from fplbench.records.words import scale
from fplbench.scenario import Settings as ScenarioSettings
from fplbench.spec import Training

# Where pyarrow is installed, pandas would keep texts with it, which refuses names of files that are
# no UTF-8.
pd.set_option("mode.string_storage", "python")

CELL = ["id", "status", "method", "title", "dataset", "scenario", "backbone", "seed", "finished"]
RESULTS = [
    *CELL,
    *["metric", "value", "std_starts", "last5", "last5_std_starts", "std_clients"],
    *["worst_client", "counted", "reason", "clients"],
    *["never_sampled", "up_bytes", "down_bytes", "trainable_parameters", "seconds"],
    *["seconds_round", "seconds_round_least", "seconds_round_most", "step_bytes"],
    *["clients_at_once", "peak_bytes", "hardware", "on_gpu", "notes", "changed"],
    *["headline", "trade_off", "words", "about", "measure", "scales", "facts"],
    *["source", "path"],
]
CLIENTS = [*CELL, "metric", "client", "train_size", "value"]
HISTORY = [*CELL, "round"]

ACCURACY = scale(Accuracy)
UNMEASURED = "its record is from before {} was measured, or without its plug-in"

# An option of scenarios is in no record where it is off; this is what it is there.
OFF = {f"scen.{name}": field.default for name, field in ScenarioSettings.model_fields.items()}
# So are these in records from before the training had them; no id tells of them where they are off.
OFF |= {
    f"train.{name}": Training.model_fields[name].default
    for name in ("new_clients", "new_client_epochs", "evaluated_clients")
}

# What tells apart two data sets, or scenarios, that have one path, and makes one of two paths one.
SAME = {"dataset": ("ident.data", "ident.split"), "scenario": ("ident.partition",)}

# Which evaluation the column "value" is of, in the words of a caption.
LAST = "after the last round"
# Columns that tables can show in place of "value", each with its words and why it may be missing.
HEADLINES = {
    "last5": (
        "as the mean over the last five rounds",
        "not every one of the last five rounds was evaluated (--set evaluations=ROUNDS)",
    )
}


class DamagedRecordWarning(UserWarning):
    """A cell that is in the store and could not be read."""


def load_results(
    path: Path | str = "results", moved: bool = False, measure: str | None = DEFAULT
) -> pd.DataFrame:
    """One row a cell and metric; accuracy in percent after the last round.

    measure: another one of the answers ("ece", "f1", "worst", ...), by the same names of metrics;
    None for all of them together, those that are no accuracies as "METRIC.MEASURE". The column
    "measure" tells them apart.

    std_starts is the standard deviation over the cell's start as drawn and its moved ones
    (`fplbench stability`), NaN where none was run. The moved starts themselves are no results and
    left out, so that no average takes them for seeds; moved=True adds them, told by train.nudge
    above 0.

    A metric that means nothing for the method has a row with value NaN and its reason. A
    diverged or failed cell has a single row, metric None, value NaN, and its error as reason:
    what it would have measured is not known. A cell that lies in several stores counts once.
    """
    return results_of(*read_cells(path), moved, measure)


def with_headline(results: pd.DataFrame, column: str, when: str, without: str) -> pd.DataFrame:
    """The table with another of its columns in place of "value", for reports, which read nothing
    else. when: what captions say in place of LAST; without: why a cell may lack the number."""
    lost = results["value"].notna() & results[column].isna()
    chosen = results.assign(
        value=results[column],
        std_starts=results.get(f"{column}_std_starts", float("nan")),
        reason=results["reason"].mask(lost, without),
    )
    chosen.attrs = {**results.attrs, "when": when}
    return chosen


def results_of(
    found: Found, problems: list[Problem], moved: bool = False, measure: str | None = DEFAULT
) -> pd.DataFrame:
    """`load_results` of what `read_cells` read. UserError: no record has the measure."""
    again = repeats(record for _, record in found)
    found = found if moved else drawn(found)
    known = measures_of(record for _, record in found)
    if measure is not None and measure not in known:
        raise UserError(
            f"No record here has the measure {measure}; they have {', '.join(known)}. Cells that "
            "are run anew have every measure that is there, --plugins' too: name another --out."
        )
    scales = {name: one for _, record in found for name, one in record.measures.items()}
    rows = [
        cell | row
        for folder, record in found
        for cell in (_cell(record),)
        for row in _rows(folder, record, again.get(record.id, []), known, measure, scales)
    ]
    return _table(rows, RESULTS, found, problems)


def measures_of(records: Iterable[Record]) -> dict[str, list[str]]:
    """Every measure that any of the records has, with the questions it was made of."""
    found: dict[str, dict[str, None]] = {DEFAULT: {}}
    for record in records:
        for name in (DEFAULT, *record.measured):
            found.setdefault(name, {}).update(dict.fromkeys(record.numbers(name)))
    return {name: list(questions) for name, questions in found.items()}


def load_clients(path: Path | str = "results", measure: str = DEFAULT) -> pd.DataFrame:
    """One row a cell, metric and client that has a number."""
    return clients_of(*read_cells(path), measure)


def clients_of(found: Found, problems: list[Problem], measure: str = DEFAULT) -> pd.DataFrame:
    """`load_clients` of what `read_cells` read."""
    found = drawn(found)
    rows = [
        cell | row
        for _, record in found
        for cell in (_cell(record),)
        for row in _clients(record, measure)
    ]
    return _table(rows, CLIENTS, found, problems)


def load_history(path: Path | str = "results") -> pd.DataFrame:
    """One row a cell and round: loss, its terms, bytes, seconds, and metrics where evaluated;
    those of a measure that is not accuracy as "METRIC.MEASURE"."""
    return history_of(*read_cells(path))


def history_of(found: Found, problems: list[Problem]) -> pd.DataFrame:
    """`load_history` of what `read_cells` read; a torn history is one more problem."""
    found, rows, problems = drawn(found), list[Row](), list(problems)
    for folder, record in found:
        try:
            history = packed.history_of(folder)
        except DamagedRecord as error:
            problems.append(Problem(folder, str(error)))
            continue
        rounds = history.to_dict("records")
        rows += [_cell(record) | {str(name): row[name] for name in row} for row in rounds]
    return _table(rows, HISTORY, found, problems)


def read_cells(path: Path | str) -> tuple[Found, list[Problem]]:
    """The cells under a folder or of a packed file, each once and done ones first, moved starts
    among them, with where they lie; and what could not be read."""
    outcomes = read_all(Path(path))
    found = [(folder, record) for folder, record in outcomes if isinstance(record, Record)]
    done_first = sorted(found, key=lambda cell: cell[1].status != "done")
    once = {record.id: (folder, record) for folder, record in reversed(done_first)}
    problems = [outcome for _, outcome in outcomes if isinstance(outcome, Problem)]
    return sorted(once.values(), key=lambda cell: (str(cell[0]), cell[1].id)), problems


def read_all(root: Path) -> packed.Outcomes:
    """The cells under a folder or of a packed file, as often as they are there."""
    if not root.exists():
        raise UserError(
            f"there are no results in {root}: no such folder; `fplbench run` makes them, "
            "or name the folder that --out named"
        )
    here: packed.Outcomes = [(folder, read_or_explain(folder)) for folder in cell_folders(root)]
    return here + packed.outcomes(root)


def _cell(record: Record) -> Row:
    return {name: getattr(record, name) for name in CELL}


def _rows(
    folder: Path,
    record: Record,
    moved: Sequence[Record],
    known: Mapping[str, Sequence[str]],
    measure: str | None,
    scales: Mapping[str, Scale],
) -> Iterable[Row]:
    """known: of measures_of. measure: the only one that is wanted, or None. scales: of all records'
    measures, for one that this record is without."""
    scales = {DEFAULT: ACCURACY, **scales, **record.measures}
    of_cell: Row = {
        "clients": len(record.clients),
        "never_sampled": record.never_sampled,
        "up_bytes": record.traffic.up_bytes,
        "down_bytes": record.traffic.down_bytes,
        "trainable_parameters": record.trainable_parameters,
        "seconds": record.times.get("total"),
        **_seconds_round(record),
        **_step(record),
        "peak_bytes": record.peak_bytes,
        "hardware": hardware(record),
        "on_gpu": str(record.hardware.get("device", "")).startswith("cuda"),
        "notes": "\n".join(record.notes),
        "changed": None if record.changed is None else "\n".join(record.changed),
        "headline": "\n".join(record.headline),
        "trade_off": "\n".join(record.trade_off),
        "words": record.words,
        "about": json.dumps(_about(record, measure)),
        "facts": json.dumps({name: fact.model_dump() for name, fact in record.facts.items()}),
        "measure": measure or DEFAULT,
        "scales": json.dumps({name: one.model_dump() for name, one in scales.items()}),
        "source": record.source,
        "path": str(folder),
    }
    if record.status != "done":
        yield of_cell | {"metric": None, "reason": _why_stopped(record)}
        return
    for each in known if measure is None else (measure,):
        for row in _metrics(record, moved, each, known[each]):
            bare = str(row["metric"])
            named = bare if measure else metric(bare, each)
            yield of_cell | row | {"metric": named, "measure": each}


def _about(record: Record, measure: str | None) -> dict[str, JsonValue]:
    """What metrics are called, by the names they have in the table."""
    found = {name: one.model_dump() for name, one in record.about.items()}
    if measure is None:
        for each, said in record.measures.items():
            found |= {
                metric(name, each): one.model_dump() | {"title": f"{one.title} {said.short}"}
                for name, one in record.about.items()
                if name in record.numbers(each)
            }
    return dict(found)


def _metrics(
    record: Record, moved: Sequence[Record], measure: str, known: Sequence[str]
) -> Iterable[Row]:
    """Of one measure. known: the questions that any record has it of."""
    own = record.numbers(measure)
    for name, one in own.items():
        yield {
            "metric": name,
            "value": one.mean,
            "std_starts": spread(numbers(record, moved, name, measure)),
            "last5": one.last5,
            "last5_std_starts": spread(numbers(record, moved, name, measure, late=True)),
            "std_clients": one.std,
            "worst_client": one.worst,
            "counted": one.count,
            "reason": "",
        }
    for name, reason in record.not_applicable.items():
        # What is put together of accuracies (hm) is no question that others lack.
        if measure == DEFAULT or name in known:
            yield {"metric": name, "reason": reason}
    if measure not in (DEFAULT, *record.measured):
        for name in known:
            if name in record.metrics:
                yield {"metric": name, "reason": UNMEASURED.format(measure)}


def _seconds_round(record: Record) -> Row:
    """Of training: the median over rounds, its least and its most; 0 where nothing is trained.

    Records from before the range was kept have the mean alone.
    """
    rounds = record.training.get("rounds")
    if record.status != "done" or not isinstance(rounds, int):
        return {"seconds_round": None}
    if record.round_seconds is None:
        return {"seconds_round": record.times.get("train", 0.0) / rounds}
    least, median, most = record.round_seconds
    return {
        "seconds_round": median,
        "seconds_round_least": least,
        "seconds_round_most": most,
    }


def _step(record: Record) -> Row:
    """The bytes of a local step of all clients that were computed together, and how many."""
    each, clients = (record.hardware.get(n) for n in ("step_bytes_client", "clients_at_once"))
    if isinstance(each, int) and isinstance(clients, int):
        return {"step_bytes": each * clients, "clients_at_once": clients}
    return {"step_bytes": None if record.trainable_parameters else 0, "clients_at_once": None}


def hardware(record: Record) -> str | None:
    """What the times were measured on, in a few words."""
    known = record.hardware
    if "gpu" in known:
        return str(known["gpu"])
    if "cpu" not in known:
        return None
    threads = known.get("threads")
    return f"{known['cpu']}, {threads} thread{'' if threads == 1 else 's'}"


def _why_stopped(record: Record) -> str:
    if record.error is None:
        return record.status
    places = {"round": record.error.round, "client": record.error.client}
    where = ", ".join(f"{name} {index}" for name, index in places.items() if index is not None)
    return record.error.message + (f" ({where})" if where else "")


def _clients(record: Record, measure: str) -> Iterable[Row]:
    sizes: list[int | None] = [*record.train_sizes]
    sizes += [None] * (len(record.clients) - len(sizes))
    for name, one in record.numbers(measure).items():
        each = zip(record.clients, sizes, one.per_client or (), strict=False)
        for client, size, value in each:
            if value is not None:
                yield {"metric": name, "client": client, "train_size": size, "value": value}


def _table(
    rows: list[Row], columns: list[str], found: Found, problems: list[Problem]
) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=_in_order(columns, rows))
    settings = {record.id: settings_of(record) for _, record in found}
    names = _in_order([], list(settings.values()))
    values = {one: [each.get(n, OFF.get(n)) for n in names] for one, each in settings.items()}
    of_rows = [values[str(row["id"])] for row in rows]
    # As objects: beside a missing value, pandas would make the integer 16 into 16.0. And all at
    # once: in as many blocks as columns every later cut would take as many times as long.
    chosen = pd.DataFrame(of_rows, index=table.index, columns=names, dtype=object)
    table = pd.concat([table, chosen], axis=1)
    for column, known in SAME.items():
        table[column] = _shortest(table, column, known)
    for problem in problems:
        warnings.warn(problem.message, DamagedRecordWarning, stacklevel=3)
    table.attrs["problems"] = [problem.message for problem in problems]
    return table


def _shortest(table: pd.DataFrame, column: str, known: Sequence[str]) -> pd.Series[str]:
    """Each row's name in a column; of one that was read by several paths ("folder:PATH"), and is
    the same by what is `known` of it, the shortest."""
    names = table[column]
    mine = table[names.str.contains(":")] if len(table) else table
    if mine.empty or not {*known} <= {*table}:
        return names
    kinds = [mine[column].str.partition(":")[0], *(mine[name] for name in known)]
    shortest = mine.groupby(kinds)[column].transform(lambda same: min(same, key=_by_length))
    return shortest.reindex(names.index).fillna(names)


def _by_length(name: str) -> tuple[int, str]:
    return len(name), name


def _in_order(first: list[str], rows: list[Row]) -> list[str]:
    """`first`, then every other key in the order of its first appearance."""
    return list(dict.fromkeys([*first, *(name for row in rows for name in row)]))

"""Plots of a store's records, as PDF and PNG, without a window: which there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import pandas as pd

from fplbench.errors import UserError
from fplbench.plugins.measure import DEFAULT, metric
from fplbench.records.atomic import OUT, write_aside, writing
from fplbench.records.record import Record
from fplbench.records.results import clients_of, history_of, read_cells, results_of
from fplbench.records.starts import Found
from fplbench.report import figures, gains, over_facts, over_sets, partitions, ranks, sweeps
from fplbench.report.groups import Group, file_name, free_name, split
from fplbench.report.layout import (
    RANKED,
    over_data_sets,
    quantities,
    rank_over_data_sets,
    shared_quantities,
)
from fplbench.report.looks import Look, looks, rc
from fplbench.report.tables import NOTHING
from fplbench.report.words import title


def write_plots(
    path: Path | str,
    out: Path,
    titles: Mapping[str, str],
    measure: str = DEFAULT,
    columns: int = 1,
) -> list[Path]:
    """Draw all plots of a store, or of a folder of stores, into a folder, each with its data as
    CSV; return the files.

    For each group of comparable cells and each data set: NAME-rounds, -tradeoff, -clients, -cost,
    -partition, -gains and -over-FACT; for a group with several data sets NAME-profile-METRIC and
    -iqm-METRIC, with enough of them NAME-ranks-METRIC; for each setting that was swept
    SCENARIO-DATA-over-SETTING; each where there are numbers for it.
    titles: method -> display name; its order fixes each method's colour and marker. measure: of
    the answers; names of another one's files have it. columns: of a paper that a figure is as wide
    as, 1 or 2. Without records, or with none that has numbers: UserError.
    """
    found, problems = read_cells(path)
    results = results_of(found, problems, measure=measure)
    if results.empty:
        raise UserError("; ".join([*results.attrs["problems"], NOTHING]))
    history, by_client = history_of(found, problems), clients_of(found, problems, measure)
    if measure != DEFAULT:
        history = _of_measure(history, measure)
    files: list[Path] = []
    groups = split(results, titles)
    taken = {group.name.lower() for group in groups if len(group.columns) > 1}
    with matplotlib.rc_context(rc(columns)):
        for group in groups:
            style = looks(group.methods, titles)
            for data in group.columns:
                name = out / free_name(_name(group, data), taken)
                mine = _of_group(group.frame, group, data)
                files += figures.curves(group, data, _of_group(history, group, data), style, name)
                files += figures.trade_off(group, data, mine, style, name)
                files += figures.clients(
                    group, data, _of_group(by_client, group, data), style, name
                )
                files += figures.costs(group, data, mine, style, name)
                files += over_facts.draw(group, data, titles, name)
                if measure == DEFAULT and (record := _partition(found, group, data)):
                    files += partitions.draw(record, data, name)
                    files += gains.draw(
                        group, data, record, _of_group(by_client, group, data), name
                    )
            files += _over_data_sets(group, style, out / group.name)
        for sweep in sweeps.find(results, titles):
            files += sweeps.draw(sweep, titles, out, taken)
    if not files:
        raise UserError(
            f"there is nothing to draw, since no cell of {path} has numbers: `fplbench tables` "
            "says how each ended, `fplbench run --retry-failed` tries them again"
        )
    return files


def _of_measure(history: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The table with what it has of a measure in place of accuracies."""
    end = metric("", measure)
    own = {str(name): str(name).removesuffix(end) for name in history if str(name).endswith(end)}
    return history.drop(columns=[name for name in own.values() if name in history]).rename(
        columns=own
    )


def _over_data_sets(group: Group, style: Mapping[str, Look], name: Path) -> list[Path]:
    """Profiles, intervals and critical differences of each headline metric that all have."""
    columns = {data: quantities(group, data, "rank") for data in group.columns}
    if len(columns) < 2 or group.doubled:
        return []
    files: list[Path] = []
    for name_of in shared_quantities(columns):
        parts = over_data_sets(group, columns, name_of)
        files += over_sets.draw(group, parts, name_of, style, name)
        if len(columns) < RANKED:
            continue
        if ranking := rank_over_data_sets(parts, group.scale.lower_is_better):
            absent = [row for row in group.rows if row not in ranking.ranks]
            files += ranks.draw(ranking, name_of, title(name_of, group.about), name, absent)
    return files


def _partition(found: Found, group: Group, data: str) -> Record | None:
    """A cell of the first seed whose record knows the partition."""
    seeds = group.seeds(data)
    ids = set(group.frame.loc[group.frame["column"] == data, "id"])
    known = [record for _, record in found if record.id in ids and record.label_counts]
    return min(known, key=lambda record: seeds.index(record.seed), default=None)


def _of_group(table: pd.DataFrame, group: Group, data: str) -> pd.DataFrame:
    """The rows of the group's finished cells on a data set, with the column "row"."""
    cells = group.frame[(group.frame["column"] == data) & (group.frame["status"] == "done")]
    labels = dict(zip(cells["id"], cells["row"], strict=True))
    mine = table[table["id"].isin(list(labels))]
    return mine.assign(row=mine["id"].map(labels))


def _name(group: Group, data: str) -> str:
    return "-".join([group.name, *([file_name(data)] if len(group.columns) > 1 else [])])


def page(files: Sequence[Path], command: str, out: Path) -> list[Path]:
    """A page of the figures with their data, and below each the command that draws it."""
    shown = [
        f"## {png.stem}\n\n![{png.stem}]({png.name})\n\nData: [{png.stem}.csv]({png.stem}.csv)\n\n"
        f"    {command}\n"
        for png in files
        if png.suffix == ".png"
    ]
    if not shown:
        return []
    path = out / "plots.md"
    with writing(path, OUT), write_aside(path) as file:
        file.write("\n".join(["# Figures\n", *shown]).encode())
    return [path]

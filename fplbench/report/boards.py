"""A leaderboard of the page: the tables of one data set in one setting, all measures and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from fplbench.plugins.measure import metric
from fplbench.records import command
from fplbench.records.record import Record
from fplbench.report import captions
from fplbench.report.entries import Entry
from fplbench.report.groups import Group
from fplbench.report.layout import Layout, by_data_set, lay_out, quantities
from fplbench.report.looks import COLOURS, LINES, MARKERS, looks
from fplbench.report.tex import tabular

KINDS: tuple[captions.Kind, ...] = ("headline", "more", "domains", "cost")

Json = dict[str, JsonValue]


@dataclass(frozen=True)
class _Part:
    """Some columns of a board: a table, and the group that it is of."""

    group: Group
    table: Layout
    kind: captions.Kind

    def columns(self) -> list[Json]:
        """What the page knows of each: whether lower is better, and decimals of a deviation."""
        scale = self.group.scale
        lower = scale.lower_is_better or self.kind in ("rank", "cost")
        read: Json = {"kind": self.kind, "lower": lower, "decimals": scale.decimals}
        found: list[Json] = []
        for name, (_, title) in zip(self.table.quantities, self.table.titles, strict=True):
            if self.kind == "rank":
                found.append({"key": f"rank {name}", "title": f"Rank {title}", **read})
                continue
            key = metric(name, self.group.measure)
            found.append({"key": key, "title": title if key == name else f"{title} {scale.short}"})
            found[-1] |= read
        return found


def boards(
    group: Group,
    others: Sequence[Group],
    places: Mapping[str, int],
    titles: Mapping[str, str],
    records: Mapping[str, Record],
) -> list[Json]:
    """One for the averages and ranks over data sets, then one for each.

    others: the same cells by other measures. places: a cell's id -> its place in the page's list
    of cells. records: by a cell's id, for the commands that make them again.
    """
    found = []
    for data in group.columns:
        names = {kind: quantities(group, data, kind) for kind in KINDS}
        parts = [
            _Part(group, by_data_set(group, kind, {data: n}), kind)
            for kind, n in names.items()
            if n
        ]
        for other in others:
            if measured := _measured(other, data):
                table = by_data_set(other, "headline", {data: measured})
                parts.append(_Part(other, table, "more"))
        found.append(_board(group, data, parts, places, titles, records))
    over = [_Part(group, table, table.kind) for table in lay_out(group, ("average", "rank"))]
    if not over:
        return found
    over += [_Part(each, table, "more") for each in others for table in lay_out(each, ("average",))]
    return [_board(group, "", over, {}, titles, records), *found]


def _measured(group: Group, data: str) -> list[str]:
    """The headline metrics that some cell has a number of."""
    frame = group.frame[(group.frame["column"] == data) & group.frame["value"].notna()]
    return [name for name in quantities(group, data, "headline") if name in set(frame["metric"])]


def _board(
    group: Group,
    data: str,
    parts: Sequence[_Part],
    places: Mapping[str, int],
    titles: Mapping[str, str],
    records: Mapping[str, Record],
) -> Json:
    """data: its name, "" for all of the group's together."""
    style = looks(group.methods, titles)
    frame = group.frame[group.frame["column"] == data].drop_duplicates("id")
    cells = {
        row: sorted((int(seed), places[str(i)]) for i, seed in zip(p["id"], p["seed"], strict=True))
        for row, p in frame.groupby("row")
    }
    ran = [row for row in group.rows if row in cells] if data else group.rows
    first = parts[0].table
    return {
        "name": first.name,
        "data": data,
        "sets": list(group.columns),
        "scenario": group.scenario,
        "backbone": group.backbone,
        "about": captions.setting(group),
        "caption": first.caption,
        "notes": list(dict.fromkeys(note for part in parts for note in part.table.notes)),
        "columns": [column for part in parts for column in part.columns()],
        "rows": [
            {
                "label": row,
                "look": [
                    COLOURS.index(style[row].colour),
                    MARKERS.index(style[row].marker),
                    LINES.index(style[row].line),
                ],
                "entries": [_entry(entry) for part in parts for entry in _of(part.table, row)],
                "cells": [place for _, place in cells.get(row, [])],
            }
            for row in ran
        ],
        "tex": tabular(first),
        "commands": [*command.lines(records[i] for i in first.cells if i in records)],
        "trade": list(group.trade_off) if data else None,
    }


def _of(table: Layout, row: str) -> list[Entry]:
    return next(one.entries for one in table.rows if one.label == row)


def _entry(entry: Entry) -> list[JsonValue]:
    """[text, mean, standard deviation, seeds, whether others have more, mark]."""
    text = f"{entry.text} {entry.range}".strip()
    mean, std = (None if x is None else round(x, 4) for x in (entry.mean, entry.std))
    return [text, mean, std, entry.seeds, entry.fewer, entry.mark]

"""A leaderboard of the page: the tables of one data set in one setting, accuracy and cost."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from fplbench.report import captions
from fplbench.report.entries import Entry
from fplbench.report.groups import Group
from fplbench.report.layout import Layout, by_data_set, lay_out, quantities
from fplbench.report.looks import COLOURS, LINES, MARKERS, looks
from fplbench.report.tables import tabular

KINDS: tuple[captions.Kind, ...] = ("headline", "more", "domains", "cost")

Json = dict[str, JsonValue]


def boards(group: Group, places: Mapping[str, int], titles: Mapping[str, str]) -> list[Json]:
    """One for the averages and ranks over data sets, then one for each.

    places: a cell's id -> its place in the page's list of cells.
    """
    found = []
    for data in group.columns:
        names = {kind: quantities(group, data, kind) for kind in KINDS}
        parts = [by_data_set(group, kind, {data: n}) for kind, n in names.items() if n]
        found.append(_board(group, data, parts, places, titles))
    over = lay_out(group, ("average", "rank"))
    return [_board(group, "", over, {}, titles), *found] if over else found


def _board(
    group: Group,
    data: str,
    parts: list[Layout],
    places: Mapping[str, int],
    titles: Mapping[str, str],
) -> Json:
    """data: its name, "" for all of the group's together."""
    style = looks(group.methods, titles)
    frame = group.frame[group.frame["column"] == data].drop_duplicates("id")
    cells = {
        row: sorted((int(seed), places[str(i)]) for i, seed in zip(p["id"], p["seed"], strict=True))
        for row, p in frame.groupby("row")
    }
    ran = [row for row in group.rows if row in cells] if data else group.rows
    first = parts[0]
    return {
        "name": first.name,
        "data": data,
        "sets": list(group.columns),
        "scenario": group.scenario,
        "backbone": group.backbone,
        "about": captions.setting(group),
        "caption": first.caption,
        "notes": list(dict.fromkeys(note for part in parts for note in part.notes)),
        "columns": [
            {"key": f"rank {key}", "title": f"Rank {title}", "kind": part.kind}
            if part.kind == "rank"
            else {"key": key, "title": title, "kind": part.kind}
            for part in parts
            for key, (_, title) in zip(part.quantities, part.titles, strict=True)
        ],
        "rows": [
            {
                "label": row,
                "look": [
                    COLOURS.index(style[row].colour),
                    MARKERS.index(style[row].marker),
                    LINES.index(style[row].line),
                ],
                "entries": [_entry(entry) for part in parts for entry in _of(part, row)],
                "cells": [place for _, place in cells.get(row, [])],
            }
            for row in ran
        ],
        "tex": tabular(first),
        "trade": list(group.trade_off) if data else None,
    }


def _of(part: Layout, row: str) -> list[Entry]:
    return next(one.entries for one in part.rows if one.label == row)


def _entry(entry: Entry) -> list[JsonValue]:
    """[text, mean, standard deviation, seeds, whether others have more, mark]."""
    text = f"{entry.text} {entry.range}".strip()
    mean, std = (None if x is None else round(x, 4) for x in (entry.mean, entry.std))
    return [text, mean, std, entry.seeds, entry.fewer, entry.mark]

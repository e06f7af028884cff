"""How far moved starts end from one another, beside how far seeds do: for `fplbench stability`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fplbench.records.record import Record
from fplbench.records.starts import nudge, numbers, repeats
from fplbench.report import captions
from fplbench.report.entries import Entry
from fplbench.report.groups import Group, split
from fplbench.report.layout import entry, quantities
from fplbench.report.words import title

HEADS = ("Method", "Metric", "Starts", "Range", "(mean)", "of means", "Std starts", "Std seeds")
BELOW = (
    "In points. Range: over a seed's starts, the largest of the seeds' and their mean; of means: "
    "over starts, of the mean over seeds. Std starts: of a seed's number, pooled over seeds; std "
    "seeds: of the starts as drawn. Starts: as drawn and moved by 1e-6; threads: "
)


@dataclass(frozen=True)
class Spread:
    """How far one number moves without a cause.

    seeds, starts: how many the rest is over, the start as drawn among them. ranges: of each seed,
    over the starts; means: range over the starts of the mean over the seeds. ours: the entry of a
    table, of the starts as drawn.
    """

    row: str
    dataset: str
    metric: str
    title: str
    seeds: tuple[int, ...]
    starts: tuple[int, ...]
    ranges: tuple[float, ...]
    means: float
    ours: Entry

    def texts(self) -> tuple[str, ...]:
        """The row as it is printed, under HEADS."""
        numbers = (max(self.ranges), float(np.mean(self.ranges)), self.means)
        spreads = (self.ours.std_starts, self.ours.std)
        return (
            self.row,
            self.title,
            str(len(self.starts)),
            *(f"{number:.2f}" for number in numbers),
            *("--" if number is None else f"{number:.2f}" for number in spreads),
        )


def spreads(
    group: Group, data: str, records: Mapping[str, Record], moved: Mapping[str, list[Record]]
) -> list[Spread]:
    """Of every method that was repeated on a data set, for each headline metric.

    records: by id; moved: of starts.repeats. Starts that some repeated seed lacks are left out.
    """
    found = []
    for row in group.rows:
        cells = group.cells(row, data).drop_duplicates("id").sort_values("seed")
        repeated = {int(s): str(i) for s, i in zip(cells["seed"], cells["id"], strict=True)}
        for metric in quantities(group, data, "headline"):
            each = {s: numbers(records[i], moved.get(i, []), metric) for s, i in repeated.items()}
            each = {seed: values for seed, values in each.items() if len(values) > 1}
            starts = sorted(set.intersection(*map(set, each.values()))) if each else []
            if len(starts) < 2:
                continue
            table = np.array([[values[start] for start in starts] for values in each.values()])
            found.append(
                Spread(
                    row=row,
                    dataset=data,
                    metric=metric,
                    title=title(metric, group.about),
                    seeds=tuple(each),
                    starts=tuple(starts),
                    ranges=tuple(np.ptp(table, axis=1).tolist()),
                    means=float(np.ptp(table.mean(axis=0))),
                    ours=entry(group, row, data, metric),
                )
            )
    return found


def every(
    results: pd.DataFrame, records: Sequence[Record], titles: Mapping[str, str]
) -> Iterator[tuple[Group, str, list[Spread]]]:
    """Each data set of each group with its spreads. results: the tidy table of these records."""
    by_id, moved = {record.id: record for record in records}, repeats(records)
    for group in split(results, titles):
        for data in group.columns:
            yield group, data, spreads(group, data, by_id, moved)


def screen(
    results: pd.DataFrame, records: Sequence[Record], titles: Mapping[str, str]
) -> Iterator[RenderableType]:
    """A table for each data set, with what captions of tables will say."""
    for group, data, found in every(results, records, titles):
        yield Text(f"{data} ({captions.setting(group)})", style="bold")
        names = quantities(group, data, "headline")
        if found:
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
            for place, head in enumerate(HEADS):
                table.add_column(head, justify="right" if place > 1 else "left")
            for one in found:
                table.add_row(*(Text(text) for text in one.texts()))
            yield table
            yield Text(BELOW + threads(group, data, records) + ".", style="dim")
        labelled = [(row, [entry(group, row, data, name) for name in names]) for row in group.rows]
        said = captions.on_rounding(labelled, [title(name, group.about) for name in names])
        yield Text("\n".join([*said, ""]), style="dim")


def threads(group: Group, data: str, records: Sequence[Record]) -> str:
    """With how many threads each start was computed."""
    frame = group.frame[group.frame["column"] == data]
    drawn = [record for record in records if record.id in set(frame["id"])]
    by_start: dict[int, set[str]] = {}
    moved = repeats(records)
    for record in drawn:
        for one in (record, *moved.get(record.id, [])):
            by_start.setdefault(nudge(one), set()).add(str(one.hardware.get("threads", "unknown")))
    return ", ".join(
        f"{' or '.join(sorted(counts))} ({f'moved {start}' if start else 'as drawn'})"
        for start, counts in sorted(by_start.items())
    )

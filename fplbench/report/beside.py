"""Our cells beside published numbers: on the screen, as Markdown and as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fplbench.plugins.measure import DEFAULT
from fplbench.records.atomic import put
from fplbench.records.results import LAST
from fplbench.report import captions
from fplbench.report.entries import Entry
from fplbench.report.escape import markdown
from fplbench.report.groups import Group, natural, split
from fplbench.report.layout import entry
from fplbench.report.published import Published, beside, differences, no_evidence, published
from fplbench.report.words import About, title

HEADS = ("Data set", "Metric", "Method", "Ours", "Published", "Diff.", "From", "Notes")
CONTEXT = (
    "Context, not a target: the papers ran their own protocols and disagree with one another. "
    "Diff. is ours minus published, in points; `at chance`: the paper's own zero-shot CLIP, or the "
    "number itself, is no better than guessing."
)


@dataclass(frozen=True)
class Pair:
    """Our entry and a published number. notes: places in the list of footnotes, from 1."""

    group: Group
    dataset: str
    metric: str
    method: str
    ours: Entry
    theirs: Published
    notes: tuple[int, ...]

    @property
    def difference(self) -> float | None:
        """None where either number says nothing."""
        if self.ours.mean is None or no_evidence(self.theirs):
            return None
        return self.ours.mean - self.theirs.mean

    def texts(self) -> tuple[str, ...]:
        """The row as it is printed, under HEADS."""
        theirs = f"{self.theirs.mean:.2f}"
        theirs += f" ± {self.theirs.std:.2f}" if self.theirs.std is not None else ""
        ours = "n/a" if self.ours.mean is None else f"{self.ours.mean:.2f}"
        ours = self.ours.text if self.ours.mean is None else ours
        ours += f" ± {self.ours.std:.2f}" if self.ours.std is not None else ""
        ours += f" ({self.ours.seeds})" if self.ours.mean is not None else ""
        difference = "" if self.difference is None else f"{self.difference:+.2f}"
        return (
            self.dataset,
            title(self.metric, self.group.about),
            self.method,
            ours,
            theirs,
            "at chance" if no_evidence(self.theirs) else difference,
            self.theirs.source,
            ", ".join(map(str, self.notes)),
        )


@dataclass
class Comparison:
    """Pairs in the order of the groups; footnotes in the order of their first use."""

    pairs: list[Pair] = field(default_factory=list)
    footnotes: list[str] = field(default_factory=list)

    def by_group(self) -> Iterator[tuple[Group, list[Pair]]]:
        """Each group that has pairs."""
        names = dict.fromkeys(pair.group.name for pair in self.pairs)
        for name in names:
            own = [pair for pair in self.pairs if pair.group.name == name]
            yield own[0].group, own


def compare(results: pd.DataFrame, titles: Mapping[str, str]) -> Comparison:
    """Every cell that a paper has a number for. results: of load_results."""
    found = Comparison()
    for group in split(results, titles):
        if group.shared.get("train.evaluate_on", "test") != "test":
            continue  # numbers of validation images are no results
        if group.measure != DEFAULT:
            continue  # papers' numbers are accuracies
        for column in group.columns:
            for row in group.rows:
                _add(found, group, row, column)
    return found


def _add(found: Comparison, group: Group, row: str, column: str) -> None:
    cells = group.cells(row, column)
    if cells.empty:
        return
    cell = cells.iloc[0]
    for one in sorted(beside(cell), key=lambda one: _place(one, group.about)):
        if not (cells["metric"] == one.metric).any() and (cells["status"] == "done").any():
            continue  # a metric that this scenario does not measure
        notes = []
        for text in differences(one, cell):
            if text not in found.footnotes:
                found.footnotes.append(text)
            notes.append(found.footnotes.index(text) + 1)
        ours = entry(group, row, column, one.metric)
        found.pairs.append(Pair(group, column, one.metric, row, ours, one, tuple(sorted(notes))))


def _place(one: Published, about: About) -> tuple[list[tuple[int, str]], int, str]:
    metrics = list(about)
    known = one.metric in metrics
    return natural(one.source), metrics.index(one.metric) if known else len(metrics), one.metric


def nothing(results: pd.DataFrame) -> str:
    """Why no published number stands beside these records, and for what there are numbers."""
    has = published()
    combos = sorted({f"{one.scenario} with {one.arch}:openai" for one in has if one.arch})
    mine = sorted(set(results["scenario"] + " with " + results["backbone"]))
    return (
        "No published number is of the same method, data set, scenario and backbone as one of "
        f"these records ({'; '.join(mine)}); a held-out domain, or a setting that makes another "
        f"method, is never paired. There are numbers for {'; '.join(combos)}; "
        "`fplbench list presets` has the settings of such tables."
    )


def screen(found: Comparison) -> Iterator[RenderableType]:
    """A table for each group, then what the numbers leave unsaid."""
    for group, pairs in found.by_group():
        yield Text(captions.setting(group), style="bold")
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for head in HEADS:
            table.add_column(head, justify="right" if head in ("Ours", "Diff.") else "left")
        for pair in pairs:
            table.add_row(*(Text(text) for text in pair.texts()))
        yield table
        yield Text()
    yield Text(CONTEXT)
    when = found.pairs[0].group.when if found.pairs else LAST
    yield Text(f"Ours: mean ± standard deviation (seeds), in percent {when}.")
    for number, text in enumerate(found.footnotes, 1):
        yield Text(f"{number}. {text}.")


def write(found: Comparison, folder: Path) -> list[Path]:
    """published.md and published.csv in a folder; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for group, pairs in found.by_group():
        lines += [f"**{markdown(captions.setting(group))}**", "", _line(HEADS)]
        lines += [_line(["---"] * len(HEADS))]
        lines += [_line([markdown(text) for text in pair.texts()]) for pair in pairs] + [""]
    lines += [CONTEXT, ""]
    lines += [f"{n}. {markdown(text)}." for n, text in enumerate(found.footnotes, 1)]
    table = pd.DataFrame([_values(pair, found.footnotes) for pair in found.pairs])
    paths = [folder / "published.md", folder / "published.csv"]
    put(paths[0], "\n".join(lines) + "\n")
    put(paths[1], table.to_csv(index=False, lineterminator="\n"))
    return paths


def _line(cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"  # type: ignore[call-overload]


def _values(pair: Pair, footnotes: list[str]) -> dict[str, object]:
    return {
        "group": pair.group.name,
        "dataset": pair.dataset,
        "scenario": pair.group.scenario,
        "backbone": pair.group.backbone,
        "metric": pair.metric,
        "method": pair.method,
        "ours": pair.ours.mean,
        "ours_std": pair.ours.std,
        "seeds": pair.ours.seeds,
        "published": pair.theirs.mean,
        "published_std": pair.theirs.std,
        "difference": pair.difference,
        "paper": pair.theirs.paper,
        "table": pair.theirs.table,
        "notes": "; ".join(footnotes[number - 1] for number in pair.notes),
    }

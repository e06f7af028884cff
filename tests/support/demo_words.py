"""The README's tables of the demo and what follows from them, made from committed records.

    PYTHONPATH=tests/support python -m demo_words

writes them between START and END in README.md, of the demo's methods alone. Every sentence takes
its direction from the numbers: nothing is called a gain or a loss that the seeds do not tell.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fplbench.records.results import load_results
from fplbench.records.summary import TITLES
from fplbench.report import captions, markdown
from fplbench.report.groups import Group, split
from fplbench.report.layout import by_data_set, entry
from fplbench.report.significance import LEVEL, Behind, between, holm
from fplbench.report.write import titles

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
REFERENCE = ROOT / "results" / "reference"
FILE = REFERENCE / "embedded.jsonl.gz"
START, END = "<!-- demo: made by tests/support/demo_words.py -->", "<!-- /demo -->"

CLASSES, STYLES = ("base2novel", "shapes"), ("domains", "shapes_domains")
COLUMNS = {
    CLASSES: ["local", "local_own", "base", "novel", "hm"],
    STYLES: ["domains", "global_domains"],
}
SHARED = ["promptfl", "fedotp", "pfedprompt", "fedpgp"]
METHODS = ["zeroshot", "coop", *SHARED]
# (where, metric, method, against which)
ASKED = [
    *((CLASSES, metric, "coop", "zeroshot") for metric in ("local", "local_own")),
    *((CLASSES, metric, "coop", "promptfl") for metric in ("local", "novel")),
    (CLASSES, "local", "fedotp", "promptfl"),
    *(
        (CLASSES, metric, "fedpgp", other)
        for metric in ("local", "novel")
        for other in ("promptfl", "coop")
    ),
    *((STYLES, "domains", method, "coop") for method in SHARED),
]


@dataclass(frozen=True)
class Compared:
    """A method less another, with the names that tables give them. p: corrected for all that is
    asked."""

    name: str
    other: str
    behind: Behind
    p: float

    @property
    def told(self) -> int:
        """1 for a gain, -1 for a loss, 0 where the seeds do not tell."""
        return 0 if self.p >= LEVEL else 1 if self.behind.difference > 0 else -1

    @property
    def interval(self) -> str:
        return f"{self.behind.low:.1f} to {self.behind.high:.1f}"

    def against(self, unit: str = " points") -> str:
        """gains 3.1 points on X (2.0 to 4.2)"""
        size = f"{abs(self.behind.difference):.1f}{unit}"
        if not self.told:
            return f"is not told from {self.other} ({self.interval})"
        verb = f"gains {size} on" if self.told > 0 else f"loses {size} to"
        return f"{verb} {self.other} ({self.interval})"

    def short(self) -> str:
        """gains 3.1 (2.0 to 4.2)"""
        return self.against("").replace(f" on {self.other}", "").replace(f" to {self.other}", "")


Answers = Mapping[tuple[str, str, str], Compared]


def block(file: Path) -> str:
    """What stands between the markers."""
    groups = {where: group_of(file, *where, METHODS) for where in (CLASSES, STYLES)}
    answers = _answers(groups)
    parts = [_table(groups[where], where[1], COLUMNS[where]) for where in groups]
    seeds = sorted({len(group.seeds(where[1])) for where, group in groups.items()})
    return "\n\n".join([*parts, "\n".join(_sentences(answers)), _how(seeds)])


def replaced(text: str, made: str, begins: str = START, ends: str = END) -> str:
    """A page with this between its markers. ValueError where it has none."""
    before, start, rest = text.partition(begins)
    _, end, after = rest.partition(ends)
    if not start or not end:
        raise ValueError(f"README.md lacks {begins} or {ends}: put them where the tables belong")
    return f"{before}{begins}\n\n{made}\n\n{ends}{after}"


def group_of(
    file: Path,
    scenario: str,
    data: str,
    methods: Sequence[str] | None = None,
    seeds: int | None = None,
) -> Group:
    """The one group of cells of a scenario on a data set, with no domain held out. methods: None
    for all. seeds: how many, the first ones; None for all."""
    results = load_results(file)
    if "scen.hold_out" in results:
        results = results[results["scen.hold_out"].isna()]
    if seeds is not None:
        results = results[results["seed"] < seeds]
    if methods is not None:
        results = results[results["method"].isin(methods)]
    fit = [
        group
        for group in split(results, titles(results))
        if group.scenario == scenario and data in group.columns
    ]
    if len(fit) != 1:
        raise ValueError(f"{file} has {len(fit)} settings of {scenario} on {data}, not one")
    return fit[0]


def _answers(groups: Mapping[tuple[str, str], Group]) -> Answers:
    found = []
    for where, metric, method, other in ASKED:
        group = groups[where]
        rows = {group.methods[row]: row for row in group.rows}
        if len(rows) != len(group.rows):
            raise ValueError(f"{where[1]} has two rows of one method: {', '.join(group.rows)}")
        entries = {row: entry(group, row, where[1], metric) for row in group.rows}
        places = [group.rows.index(rows[name]) for name in (method, other)]
        one = between(
            [each.samples for each in entries.values()],
            [each.trained for each in entries.values()],
            *places,
        )
        if one is None:
            raise ValueError(f"{where[1]}: sentences need two seeds that all methods have")
        found.append((rows[method], rows[other], one))
    corrected = holm([one.p for _, _, one in found])
    return {
        (metric, method, other): Compared(*names, one, p)
        for (_, metric, method, other), (*names, one), p in zip(
            ASKED, found, corrected, strict=True
        )
    }


def _table(group: Group, data: str, columns: Sequence[str]) -> str:
    layout = by_data_set(group, "headline", {data: columns})
    heads = [layout.corner, *(title for _, title in layout.titles)]
    lines = [heads, ["---", *["---:"] * len(layout.titles)]]
    lines += [
        [markdown.label(row), *(markdown.entry(each, row) for each in row.entries)]
        for row in layout.rows
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"`{data}` ({captions.setting(group)}):\n\n{table}"


def _sentences(answers: Answers) -> list[str]:
    own, novel = answers["local", "coop", "promptfl"], answers["novel", "coop", "promptfl"]
    otp = answers["local", "fedotp", "promptfl"]
    shared = [answers["domains", method, "coop"] for method in SHARED]
    alone = "; ".join(f"{one.name} {one.short()}" for one in shared)
    return [
        f"- {_known_classes(answers)}",
        f"- **Alone or shared.** {own.name} {own.against()} on `Local`. On `Novel` it "
        f"{novel.against()}.",
        f"- **Two prompts.** {otp.name} {otp.against()} on `Local`.",
        f"- **In between?** {_between(answers, 'local')} {_between(answers, 'novel')}",
        f"- **Styles.** Against {shared[0].other}, where each client trains alone, on "
        f"`{shared_metric()}`: {alone}.",
    ]


def shared_metric() -> str:
    return TITLES["domains"]


def _known_classes(answers: Answers) -> str:
    """How much of CoOp's gain is knowing which classes a client holds."""
    all_base, own = (answers[name, "coop", "zeroshot"] for name in ("local", "local_own"))
    text = (
        f"**Knowing one's classes.** {all_base.name} {all_base.against()} on `Local`, which asks "
        f"among all base classes. Asked among the client's own alone (`Own`), it {own.against()}."
    )
    if all_base.told <= 0:
        return text
    if own.told == 0:
        return f"{text} So the gain may be no more than knowing which classes the client holds."
    part = 1 - own.behind.difference / all_base.behind.difference
    if own.told > 0 and 0 < part < 1:
        return f"{text} So {part:.0%} of the gain is knowing which classes the client holds."
    return text


def _between(answers: Answers, metric: str) -> str:
    """FedPGP beside the two it joins."""
    first, second = (answers[metric, "fedpgp", other] for other in ("promptfl", "coop"))
    head = f"On `{TITLES[metric]}` {first.name}"
    if first.told and first.told == -second.told:
        return f"{head} lies between the two: it {first.against()} and {second.against('')}."
    return f"{head} {first.against()} and {second.against('')}."


def _how(seeds: Sequence[int]) -> str:
    counts = " or ".join(map(str, seeds))
    return (
        f"Tables: mean ± standard deviation over {counts} seeds, in percent; bold are the best and "
        "those not told from it. In brackets: the 95 % interval of a difference, by itself. What "
        f"is called a gain or a loss has p < {LEVEL}, corrected (Holm) for the {len(ASKED)} "
        "differences of this list."
    )


def main() -> None:
    try:
        README.write_text(replaced(README.read_text(), block(FILE)))
    except ValueError as error:
        sys.exit(str(error))
    print(f"{README} says what {FILE} says")


if __name__ == "__main__":
    main()

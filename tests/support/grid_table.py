"""The README's table of all methods, made from the committed reference.

    PYTHONPATH=tests/support python -m grid_table

writes it between START and END in README.md: the methods that have every seed of the grid, on
shapes and on shapes_domains. What the grid does not have yet is named below it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from demo_words import CLASSES, COLUMNS, README, REFERENCE, STYLES, group_of, replaced

from fplbench.plugins import registry
from fplbench.records.results import load_results
from fplbench.records.summary import TITLES
from fplbench.report import captions, markdown
from fplbench.report.groups import Group
from fplbench.report.layout import by_data_set

START, END = "<!-- grid: made by tests/support/grid_table.py -->", "<!-- /grid -->"
FILE = REFERENCE / "embedded.jsonl.gz"
SEEDS = 8


def block(file: Path) -> str:
    """What stands between the markers."""
    methods = whole(file)
    groups = {where: group_of(file, *where, methods, SEEDS) for where in (CLASSES, STYLES)}
    rows: dict[str, list[str]] = {}
    heads = ["Method"]
    for where, group in groups.items():
        layout = by_data_set(group, "headline", {where[1]: COLUMNS[where]})
        heads += [title for _, title in layout.titles]
        for row in layout.rows:
            entries = [markdown.entry(each, row) for each in row.entries]
            rows.setdefault(markdown.label(row), []).extend(entries)
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    lines += [[label, *entries] for label, entries in sorted(rows.items(), key=_by_name)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{_caption(groups)}{_absent(methods)}"


def whole(file: Path) -> list[str]:
    """The methods that have all seeds on both data sets."""
    results = load_results(file)
    found = []
    for method, cells in results.groupby("method"):
        held = [
            {*cells[(cells["scenario"] == scenario) & (cells["dataset"] == data)]["seed"]}
            for scenario, data in (CLASSES, STYLES)
        ]
        if all(seeds.issuperset(range(SEEDS)) for seeds in held):
            found.append(str(method))
    return found


def _by_name(row: tuple[str, list[str]]) -> str:
    return row[0].lower()


def _caption(groups: dict[tuple[str, str], Group]) -> str:
    told = [
        f"`{', '.join(TITLES[name] for name in COLUMNS[where])}`: `{where[1]}`, "
        f"{captions.setting(group)}."
        for where, group in groups.items()
    ]
    return (
        f"{' '.join(told)} Mean ± standard deviation over {SEEDS} seeds, in percent; bold are the "
        "best and those not told from it. All methods have one learning rate "
        "([docs/defaults.md](docs/defaults.md)), so one that stays near zero-shot CLIP may want "
        "another."
    )


def _absent(methods: list[str]) -> str:
    left = [name for name in registry.methods().classes if name not in methods]
    if not left:
        return ""
    return f" Not in the grid yet: {', '.join(f'`{name}`' for name in left)}."


def main() -> None:
    try:
        README.write_text(replaced(README.read_text(), block(FILE), START, END))
    except ValueError as error:
        sys.exit(str(error))
    print(f"{README} says what {FILE} says")


if __name__ == "__main__":
    main()

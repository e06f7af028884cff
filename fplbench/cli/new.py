"""`fplbench new`: a plug-in's file to begin from, which works as it is."""

from __future__ import annotations

import keyword
import re
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from fplbench.cli.consoles import out
from fplbench.errors import UserError


class Kind(StrEnum):
    """What a file can be begun of. The value is the template's name."""

    method = "method"
    strategy = "strategy"
    dataset = "dataset"
    scenario = "scenario"
    metric = "metric"
    table_format = "format"
    executor = "executor"


NEXT = {
    Kind.method: (
        "fplbench exam {name} --plugins {folder}",
        "fplbench run --methods {name},promptfl --datasets digits --plugins {folder}",
    ),
    Kind.strategy: (
        "fplbench exam {name} --plugins {folder}",
        "fplbench run --methods coop --strategies {name},own --datasets digits --plugins {folder}",
    ),
    Kind.dataset: ("fplbench data verify {name} --plugins {folder}",),
    Kind.scenario: (
        "fplbench data partition digits --scenario {name} --plugins {folder}",
        "fplbench run --methods promptfl --datasets digits --scenario {name} --plugins {folder}",
    ),
    Kind.metric: (
        "fplbench run --methods promptfl --datasets digits --plugins {folder}",
        "fplbench tables results/runs --measure {name}",
    ),
    Kind.table_format: ("fplbench tables results/runs --formats {name} --plugins {folder}",),
    Kind.executor: (
        "fplbench run --methods zeroshot --datasets digits --executor {name} --plugins {folder}",
    ),
}

ROWS = {
    Kind.method: (
        "docs/methods.md",
        "| `{name}` | `ctx` [n, d] | nothing | cross-entropy + length of ctx | how near |",
    ),
    Kind.strategy: (
        "docs/methods.md",
        "| `{name}` | w <- sum_c a_c w_c, a_c = n_c^power / sum_i n_i^power | nothing | how |",
    ),
    Kind.dataset: (
        "docs/datasets.md",
        "| `{name}` | how many | how many | who split it | `a photo of a {{}}.` | `personal` |",
    ),
    Kind.scenario: (
        "README.md",
        "| `{name}` | images dealt at random in equal parts | all images of their classes |",
    ),
}
"""The page and the row of its table that says what the file says, for a pull request."""


def new(
    kind: Kind,
    name: Annotated[str, typer.Argument(help="Small letters, digits and underscores.")],
    folder: Annotated[
        Path, typer.Option("--out", help="The folder, for --plugins; made if need be.")
    ] = Path("plugins"),
) -> None:
    """Write a file with a plug-in that works as it is, and say how to try it."""
    if not re.fullmatch("[a-z][a-z0-9_]{0,63}", name) or keyword.iskeyword(name):
        raise UserError(
            f"{name!r} is no name: take at most 64 small letters, digits and underscores."
        )
    plural = f"{kind.value[:-1]}ies" if kind.value.endswith("y") else f"{kind.value}s"
    built_in = resources.files("fplbench").joinpath(plural, f"{name}.py")
    if name in ("all", "own") or built_in.is_file():
        raise UserError(f"{name!r} is taken: `fplbench list {plural}` shows the names that are.")
    file = folder / f"{name}.py"
    if file.exists():
        raise UserError(f"{file} is there already: take another name or another --out.")
    template = resources.files("fplbench.templates").joinpath(f"{kind.value}.py")
    camel = "".join(part.capitalize() for part in name.split("_"))
    text = re.sub(r"\bmine\b", name, re.sub(r"\bMine\b", camel, template.read_text("utf-8")))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror or error}.") from error
    for line in (f"{file} is written. Try it:", *NEXT[kind]):
        shown = line if line.endswith(":") else "    " + line.format(name=name, folder=folder)
        out.print(shown, markup=False, soft_wrap=True)
    if kind in ROWS:
        page, row = ROWS[kind]
        for line in (f"To contribute it, its row in {page}:", "    " + row.format(name=name)):
            out.print(line, markup=False, soft_wrap=True)

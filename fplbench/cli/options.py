"""Options that several commands share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from fplbench.errors import UserError
from fplbench.plugins.written import separated, unquoted, written

Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugins",
        help="A folder of your own methods, strategies, data sets, scenarios, metrics; repeatable.",
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root", envvar="FPLBENCH_DATA", help="The folder of data sets; by default ./data."
    ),
]
SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="Leave out images that cannot be read; recorded.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show the cells, what is done, and time and disk needed."),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Try again what failed or diverged.")
]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda:0, several with commas between, or all GPUs.")
]
Jobs = Annotated[
    int | None, typer.Option(help="Processes at a time; by default one on each device.", min=1)
]

Results = Annotated[
    Path, typer.Argument(help="A folder with records, at any depth, or a packed file.")
]


def listed(text: str | None, flag: str) -> tuple[str, ...] | None:
    """Names with commas between, each once; None where the flag was not given."""
    if text is None:
        return None
    names = tuple(dict.fromkeys(unquoted(part) for part in separated(text) if part))
    if not names:
        raise UserError(f"{flag} is empty: give names with commas between, or all.")
    return names


def listed_seeds(text: str | None, flag: str = "--seeds") -> tuple[int, ...] | None:
    """Numbers with commas between; None where the flag was not given."""
    if text is None:
        return None
    parts = dict.fromkeys(part.strip() for part in text.split(",") if part.strip())
    if not parts or not all(part.isdecimal() for part in parts):
        raise UserError(f"{flag} {text}: seeds are whole numbers from 0, e.g. {flag} 0,1,2.")
    return tuple(map(int, parts))


def assignments(texts: list[str]) -> dict[str, Any]:
    """The values of `--set KEY=VALUE`, by KEY."""
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UserError(
                f"--set {text}: write KEY=VALUE, METHOD.KEY=VALUE or SCENARIO.KEY=VALUE."
            )
        if key.strip() in found:
            raise UserError(f"--set {key.strip()} is given twice: give it one value, or a list.")
        found[key.strip()] = written(value.strip())
    return found


def no_key_twice(options: Mapping[str, Any], sets: Mapping[str, Any]) -> None:
    """UserError where a setting is given as a flag and by --set, of which one would be lost."""
    for key in options.keys() & sets.keys():
        flag = key.replace("_", "-")
        raise UserError(f"{key} is given twice, as --{flag} and by --set: leave one of them out.")


class Once(TyperCommand):
    """A command that refuses an option with two values, of which one would be lost."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, found = self.make_parser(ctx).parse_args(args=list(args))
        for parameter in found:
            many = getattr(parameter, "multiple", True) or getattr(parameter, "is_flag", False)
            if not many and found.count(parameter) > 1:
                raise UserError(
                    f"{parameter.opts[0]} is given twice: give it once; a list has commas between."
                )
        return super().parse_args(ctx, args)


Command = TypeVar("Command", bound=Callable[..., None])


def at_home(command: Command) -> Command:
    """The command with ~ expanded in every path, also where the shell left it, as in --out=~/x."""

    @functools.wraps(command)
    def call(*args: Any, **given: Any) -> None:
        command(*map(home, args), **{name: home(each) for name, each in given.items()})

    return call  # type: ignore[return-value]


def home(value: Any) -> Any:
    """A path, or each of a list, with ~ expanded; anything else as it is."""
    if isinstance(value, list):
        return [home(each) for each in value]
    return Path(os.path.expanduser(value)) if isinstance(value, Path) else value

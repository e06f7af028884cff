"""Flags that are made from settings: of the training, of scenarios, strategies, executors.

A setting's name, bounds and description stand in its Config alone; the flag follows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_origin

import typer
from pydantic import ValidationError

from fplbench.errors import UserError
from fplbench.plugins import registry
from fplbench.plugins.base import Plugin, refusals
from fplbench.plugins.registry import Found
from fplbench.spec import FLAGS, Training

Command = TypeVar("Command", bound=Callable[..., None])
P = TypeVar("P", bound=Plugin)


@dataclass(frozen=True)
class Flag:
    """name: of the setting. many: whether the flag may be repeated."""

    name: str
    help: str
    many: bool = False

    def parameter(self) -> inspect.Parameter:
        """What typer reads: a text, or a list of texts; None where the flag is not given."""
        option = typer.Option("--" + self.name.replace("_", "-"), help=self.help)
        kind: Any = list[str] | None if self.many else str | None
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind, option],
        )


def with_flags(flags: Iterable[Flag]) -> Callable[[Command], Command]:
    """Give a command these flags, which it receives in its last parameter, **given."""

    def give(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        *own, _ = signature.parameters.values()
        made = [flag.parameter() for flag in flags]
        command.__signature__ = signature.replace(parameters=[*own, *made])  # type: ignore[attr-defined]
        command.__annotations__ |= {each.name: each.annotation for each in made}
        return command

    return give


def of_training() -> list[Flag]:
    """A flag for each setting of the training; several values with commas are swept."""
    return [Flag(name, field.description or "") for name, field in Training.model_fields.items()]


def of_scenarios() -> list[Flag]:
    """A flag for each setting of a scenario that needs no --plugins."""
    found: dict[str, Flag] = {}
    having: dict[str, list[str]] = {}
    for name, cls in registry.scenarios(None).classes.items():
        for setting, field in cls.Config.model_fields.items():
            having.setdefault(setting, []).append(name)
            found.setdefault(setting, Flag(setting, field.description or ""))
    return [Flag(name, f"{flag.help} ({', '.join(having[name])})") for name, flag in found.items()]


def of_strategies() -> list[Flag]:
    """A flag for each setting of strategies that has one."""
    return [Flag(name, f"{words} (strategies that have it)") for name, words in FLAGS.items()]


def of_executors() -> list[Flag]:
    """A flag for each setting of an executor."""
    return [
        Flag(setting, f"{field.description} ({name})", get_origin(field.annotation) is tuple)
        for name, cls in registry.executors(None).classes.items()
        for setting, field in cls.Config.model_fields.items()
    ]


def given(flags: Iterable[Flag], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of those flags that were given."""
    names = [flag.name for flag in flags]
    return {name: values[name] for name in names if values[name] is not None}


def made(found: Found[P], name: str, values: Mapping[str, Any]) -> P:
    """The plug-in of this name with those settings; UserError where one is another's."""
    cls: Any = found.get(name)
    for setting in values:
        if setting not in cls.Config.model_fields:
            whose = [n for n, c in found.classes.items() if setting in c.Config.model_fields]  # type: ignore[attr-defined]
            flag = setting.replace("_", "-")
            raise UserError(
                f"--{flag} is for --{found.kind} {' or '.join(whose)}: add that, or leave it out."
            )
    try:
        plugin: P = cls(cls.Config(**values))
    except ValidationError as error:
        raise UserError("\n".join(refusals(error, f"{found.kind} {name}"))) from error
    return plugin

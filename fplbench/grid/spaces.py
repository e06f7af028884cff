"""Where `fplbench tune` looks for settings: a space for each that is worth choosing.

A space stands in a file `spaces.yaml` beside the method's own, or in its Config
(`Field(..., json_schema_extra={"search": {...}})`). A Config is code and its hash is part of every
cell's id, so a range that is mended there makes other cells of all that were run; in the file it
does not. The training's own spaces are in `spec.Training`, alike for all methods.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fplbench import rng
from fplbench.errors import UserError
from fplbench.method import Method
from fplbench.spec import Json, Training

FILE = "spaces.yaml"


class Space(BaseModel):
    """Numbers from low to high, evenly or (log) evenly in their logarithm; or some values, each as
    likely as another. source: where the range is from, or what it was put around."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    low: float | None = None
    high: float | None = None
    log: bool = False
    values: tuple[int | float | str, ...] = ()
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if self.values:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("give values, or low and high, not both")
            if len(set(self.values)) < 2:
                raise ValueError("give at least two values")
        elif self.low is None or self.high is None or self.low >= self.high:
            raise ValueError("give low and high, low below high, or values")
        elif self.log and self.low <= 0:
            raise ValueError("low must be above 0 where log is true")
        return self

    @property
    def ends(self) -> tuple[int | float | str, ...]:
        """The values, or the least and the largest number."""
        return self.values or tuple(end for end in (self.low, self.high) if end is not None)

    def draw(self, generator: np.random.Generator) -> int | float | str:
        """A value. Numbers have three digits, so that they can be read and typed again."""
        if self.values:
            return self.values[int(generator.integers(len(self.values)))]
        low, high = (float(end) for end in self.ends)
        if self.log:
            return self.readable(math.exp(generator.uniform(math.log(low), math.log(high))))
        return self.readable(generator.uniform(low, high))

    def readable(self, value: int | float | str) -> int | float | str:
        """A number of a range with three digits, inside the range; a value as it is."""
        if self.values:
            return value
        low, high = (float(end) for end in self.ends)
        return min(max(float(f"{float(value):.3g}"), low), high)


Spaces = Mapping[str, Space]
"""Setting -> its space."""


def spaces_of(method: type[Method]) -> Spaces:
    """Every space of a method, then those of the training. UserError where one is no space, or is
    of a setting that the method has not, or holds values that it refuses."""
    found = {**_beside(method), **_declared(method.Config)}
    spaces = {name: _space(method, name, fields) for name, fields in found.items()}
    for name, space in spaces.items():
        for end in space.ends:
            try:
                method.Config.model_validate({name: end})
            except ValidationError as error:
                why = error.errors()[0]["msg"]
                raise UserError(
                    f"The search space of {method.name}.{name} holds {end!r}, which the method "
                    f"refuses: {why}."
                ) from error
    training = {name: Space(**fields) for name, fields in _declared(Training).items()}
    return spaces | {name: space for name, space in training.items() if name not in spaces}


def drawn(method: type[Method], number: int, seed: int, fixed: frozenset[str]) -> Json:
    """The settings of a method's draw, counted from 0: none for the first, which is the defaults.

    fixed: settings that are not searched. Each value has a generator of its own, so that the first
    draws of a larger budget are those of a smaller one, and one more space moves no other; those of
    the training are the same for every method.
    """
    if number == 0:
        return {}
    own = method.Config.model_fields
    return {
        name: space.draw(
            rng.numpy_generator(
                seed, "tune", f"{method.name}.{name}" if name in own else name, number
            )
        )
        for name, space in searched(method, fixed).items()
    }


def searched(method: type[Method], fixed: frozenset[str]) -> Spaces:
    """The spaces of a method but those of settings that are not searched."""
    return {name: one for name, one in spaces_of(method).items() if name not in fixed}


def _beside(method: type[Method]) -> Json:
    """What a file of spaces in the folder of a method's own file says of it."""
    own = getattr(sys.modules.get(method.__module__), "__file__", None)
    file = Path(own or "").with_name(FILE) if own else None
    if file is None or not file.exists():
        return {}
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{file} cannot be read: {' '.join(str(error).split())}.") from error
    spaces = content.get(method.name) if isinstance(content, dict) else content
    if spaces is not None and not isinstance(spaces, dict):
        raise UserError(
            f"{file} holds no spaces of {method.name}: write METHOD, below it SETTING, below that "
            "low, high, log or values, and source."
        )
    return spaces or {}


def _declared(config: type[BaseModel]) -> Json:
    """The spaces that the settings themselves name."""
    extras = {n: field.json_schema_extra for n, field in config.model_fields.items()}
    return {n: e["search"] for n, e in extras.items() if isinstance(e, dict) and "search" in e}


def _space(method: type[Method], name: str, fields: Any) -> Space:
    if name not in method.Config.model_fields:
        raise UserError(f"There is a search space of {method.name}.{name}, but no such setting.")
    try:
        return Space.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        why = f"{where}: {first['msg']}" if where else first["msg"]
        raise UserError(f"The search space of {method.name}.{name} is refused: {why}.") from error

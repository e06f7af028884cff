"""What methods, data sets and scenarios have in common: a name, texts, and settings with words.

A plug-in is one class in one file. `fplbench.plugins.registry` finds it and holds it to this
contract and to that of its kind.
"""

from __future__ import annotations

import difflib
import importlib
import traceback
from abc import ABC
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from fplbench.errors import UserError


class Settings(BaseModel):
    """Base of every Config: unknown keys are refused, values do not change, and numbers are
    finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Fact(BaseModel):
    """What a plug-in says of a run that no setting says: a line of its record.

    title: how tables call it; meaning: a sentence that a reader needs beside the value, "" for
    none. axis: whether results may be drawn over it, which takes a number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    title: str
    value: int | float | str
    meaning: str = ""
    axis: bool = False


class Plugin(ABC):
    """Base of the contracts.

    kind: what a plug-in of this kind is called, in words. texts: the attributes beside `name`
    that must be texts which say something.
    wants: what a user writes behind "NAME:", PATH for one; "" where the name is enough.
    argument: what stands there in a class made by `of`. parts: in one made by `join`, those that
    it is made of.
    """

    kind: ClassVar[str]
    texts: ClassVar[tuple[str, ...]] = ()
    parts: ClassVar[tuple[type[Any], ...]] = ()
    name: ClassVar[str]
    wants: ClassVar[str] = ""
    argument: ClassVar[str] = ""

    @classmethod
    def complaint(cls) -> str | None:
        """What breaks the contract of its kind in this class, beyond what all kinds are asked."""
        return None

    @classmethod
    def parse(cls, argument: str) -> type[Self] | None:
        """The class that "NAME:ARGUMENT" stands for, or NAME alone where `argument` is empty.

        None if there is no such thing; UserError if an argument is missing.
        """
        if argument:
            return cls.of(argument) if cls.wants else None
        if cls.wants:
            raise UserError(
                f"The {cls.kind} {cls.name} needs a {cls.wants}: write {cls.name}:{cls.wants}."
            )
        return cls

    @classmethod
    def of(cls, argument: str) -> type[Self]:
        """This plug-in with its argument, under the name "NAME:ARGUMENT"."""
        own = {"name": f"{cls.name}:{argument}", "argument": argument, "__module__": cls.__module__}
        return type(cls.__name__, (cls,), own)

    @classmethod
    def join(cls, other: type[Self]) -> type[Self] | None:
        """The class that "NAME+OTHER" stands for; None if there is no such thing."""
        return None


P = TypeVar("P", bound=Plugin)


def chosen(classes: Mapping[str, type[P]], name: str) -> type[P] | None:
    """The class of this name, also of "NAME:ARGUMENT" and "NAME+OTHER"; None if there is none,
    UserError for one that needs an argument, without one. An argument reaches to the end, so that
    it may hold any letter: what has one can only stand last."""
    first, *rest = joined_names(name)
    if rest and first in classes:
        one, other = chosen(classes, first), chosen(classes, "+".join(rest))
        return None if one is None or other is None else one.join(other)
    base, _, argument = name.partition(":")
    cls = classes.get(name) or classes.get(base)
    return None if cls is None else cls.parse(argument)


def suggestion(name: str, known: Iterable[str]) -> str:
    """The nearest of the known names, or all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}."


def joined_names(name: str) -> list[str]:
    """The names in "NAME+OTHER+...:ARGUMENT"."""
    before, colon, argument = name.partition(":")
    *first, last = before.split("+")
    return [*first, f"{last}{colon}{argument}"]


def refusals(error: ValidationError, of: str) -> Iterator[str]:
    """A sentence for each setting that is not as its Config wants it. of: whose settings."""
    for each in error.errors():
        where, value = ".".join(map(str, each["loc"])) or of, each["input"]
        limits = each.get("ctx", {})
        words = {
            "greater_than_equal": f"must be at least {limits.get('ge')}",
            "greater_than": f"must be above {limits.get('gt')}",
            "less_than_equal": f"must be at most {limits.get('le')}",
            "less_than": f"must be below {limits.get('lt')}",
            "finite_number": "must be a finite number",
        }.get(each["type"])
        if words is None:
            # A sentence of the Config's own, without pydantic's words before it.
            why = limits.get("error", each["msg"])
            alone = f"{where}={value!r} is refused ({of}): {why}."
            yield alone if each["loc"] else f"{why} ({of})."  # of several settings together
        else:
            yield f"{where} is {value}, but {words} ({of})."


def one_line(error: BaseException) -> str:
    """An import's error with the last line of the plug-in that it passed through."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    machinery = ("<frozen", str(Path(importlib.__file__).parent), str(Path(__file__).parent))
    places = [
        f"{Path(frame.filename).name}, line {frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(machinery)
    ]
    return f"{text} ({places[-1]})" if places else text

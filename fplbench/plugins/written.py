"""Values as a user wrote them, read by the type of their setting and never by their looks.

A domain called 15, null or no is a text where the setting is one; a number is a number where the
setting is one, and 010 is ten in a grid file as on the command line.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError


class Written(str):
    """A value as it was typed, not read yet."""


class Swept(list[Any]):
    """The values of a flag with commas between. text: all of it, in case it is one name."""

    def __init__(self, values: list[Any], text: str) -> None:
        super().__init__(values)
        self.text = text


def separated(text: str) -> list[str]:
    """The parts between commas, without blanks around them; commas within "" separate nothing."""
    return [part.strip() for part in re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', text)]


def unquoted(text: str) -> str:
    """What stands between quotation marks, if it is that alone: a text whatever it looks like."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text
    return text


def written(text: str) -> Any:
    """What was typed behind a setting's name: a text in quotation marks, a list to be swept, or
    what the setting's type will tell."""
    plain = unquoted(text)
    if plain != text:
        return plain
    try:
        values = json.loads(text)
    except ValueError:
        return Written(text)
    if not isinstance(values, list):
        return Written(text)
    exact = json.loads(text, parse_int=Written, parse_float=Written, parse_constant=Written)
    words = {None: Written("null"), True: Written("true"), False: Written("false")}
    return [
        value
        if isinstance(value, list | dict)
        else words[each]
        if each is None or isinstance(each, bool)
        else each
        for value, each in zip(values, exact, strict=True)
    ]


def swept(text: str) -> Any:
    """The value of a flag, or the values that commas separate."""
    values = [written(part) for part in separated(text)]
    return values[0] if len(values) == 1 else Swept(values, text)


def read(config: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values by the types of the settings; what is of the wrong type stays a text, which the
    settings refuse."""
    fields = config.model_fields
    return {
        name: _of_type(fields[name].annotation, value)
        if isinstance(value, Written) and name in fields
        else value
        for name, value in given.items()
    }


def takes_text(config: type[BaseModel], name: str) -> bool:
    """Whether a setting of this name is there and may be any text."""
    field = config.model_fields.get(name)
    return field is not None and _takes(field.annotation, "any text")


def _of_type(kind: Any, text: Written) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return str(text)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and _takes(kind, value):
        return value
    # A truth is a number to whoever does not look: `rounds: true` would be one round.
    truth = isinstance(value, bool) and not _takes(kind, value)
    return str(text) if truth or _takes(kind, str(text)) else value


def _takes(kind: Any, value: object) -> bool:
    try:
        _adapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)

"""What a method's object and its class remember, in a form that can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType

from torch import Tensor

from fplbench.method import Method

DEPTH = 4
"""How far objects inside objects are looked into."""


def remembered(method: Method) -> dict[str, str]:
    """Each attribute of the object and of its class in words; functions are left out."""
    own = {f"self.{name}": shown(value) for name, value in vars(method).items()}
    kind = type(method)
    return own | {
        f"{kind.__name__}.{name}": shown(value)
        for name, value in vars(kind).items()
        if not name.startswith("__") and name != "_abc_impl" and not isinstance(value, FunctionType)
    }


def shown(value: object, depth: int = DEPTH) -> str:
    """A value with all that is in it; another text whenever a number in it is another."""
    if isinstance(value, Tensor):
        return f"{value.dtype}{value.tolist()}"
    if isinstance(value, Mapping):
        return str({key: shown(item, depth - 1) for key, item in value.items()})
    if isinstance(value, (list, tuple, set, frozenset)):
        return str([shown(item, depth - 1) for item in value])
    if depth and hasattr(value, "__dict__") and not isinstance(value, type):
        return shown(vars(value), depth - 1)
    return repr(value)

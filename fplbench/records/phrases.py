"""How sentences join names and count things; light, for the commands that must be quick."""

from __future__ import annotations

from collections.abc import Sequence


def and_(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def some(count: int | str | None, what: str) -> str:
    """So many of it: 1 round, 15 rounds. count: a number, or the text of one or several."""
    return f"{count} {what}{'' if str(count) == '1' else 's'}"


def was_or_were(count: int) -> str:
    return "was" if count == 1 else "were"

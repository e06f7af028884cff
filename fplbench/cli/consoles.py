"""The two consoles of the command line: what was asked for goes to `out`, all else to `err`."""

from __future__ import annotations

from rich.console import Console

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def warn(line: str) -> None:
    """A line that a user should not overlook, in yellow."""
    err.print(line, style="yellow", markup=False, soft_wrap=True)

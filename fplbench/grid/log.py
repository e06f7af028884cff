"""The log of a cell: a line a round, with the time."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from fplbench.records.store import LOG, WORK


class Log:
    """Kept in a file, there to be read at once. lines: all of it, from before interruptions too.

    metrics: those that a round's line names.
    """

    def __init__(self, path: Path, metrics: Sequence[str]) -> None:
        self.lines: list[str] = []
        self._path = path
        self._metrics = metrics

    def round(self, row: dict[str, float], rounds: int) -> None:
        """A line of what a round did."""
        terms = [name for name in row if name.startswith("loss_")]
        shown = [
            f"{name} {row[name]:.4g}"
            for name in ("loss", *self._metrics, *terms, "seconds")
            if name in row and not math.isnan(row[name])
        ]
        self.note(f"round {row['round']:.0f}/{rounds}  " + "  ".join(shown))

    def note(self, text: str) -> None:
        """Add a line."""
        line = f"{datetime.now().astimezone().isoformat(timespec='seconds')}  {text}"
        self.lines.append(line)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError:  # a full disk: the record, if it can be written, has the lines
            return

    def text(self) -> str:
        """The whole log."""
        return "".join(f"{line}\n" for line in self.lines)


def last_round(root: Path, cell_id: str) -> tuple[int, int, dict[str, float]] | None:
    """What the log of a running cell says of its last round: the rounds done, their number, and
    the numbers of `Log.round`; None before the first one."""
    try:
        text = (root / WORK / cell_id / LOG).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    lines = [line.partition("  ")[2] for line in text.splitlines()]
    for line in reversed(lines):
        match = re.fullmatch(r"round (\d+)/(\d+)((?:  \S+ \S+)*)", line)
        if match:
            named = (part.split() for part in match[3].split("  ") if part)
            return int(match[1]), int(match[2]), {name: float(value) for name, value in named}
    return None

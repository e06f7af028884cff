"""A bar for work on many files: shown on a terminal, quiet in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

# Called with how much is done and how much there is.
Progress = Callable[[int, int], None]
# From what is being done to the bar for it.
Watch = Callable[[str], AbstractContextManager[Progress | None]]


@contextmanager
def unwatched(what: str) -> Iterator[None]:
    """No bar."""
    yield None


def on_console(console: Console, in_bytes: bool = False) -> Watch:
    """Bars on a console; one appears only once there is something to count.

    in_bytes: what is counted are bytes, so the bar shows their speed.
    """
    units = (DownloadColumn(), TransferSpeedColumn()) if in_bytes else (MofNCompleteColumn(),)

    @contextmanager
    def watch(what: str) -> Iterator[Progress]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            *units,
            TimeRemainingColumn(),
        )
        with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
            task = bars.add_task(what, total=None, visible=False)

            def show(done: int, total: int) -> None:
                bars.update(task, completed=done, total=total, visible=True)

            yield show

    return watch

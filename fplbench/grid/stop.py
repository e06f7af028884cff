"""SIGTERM, which schedulers send before they kill: save what there is, then leave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT = 75
"""The exit code: EX_TEMPFAIL of sysexits.h, "try again later"; the same command goes on."""


class Stopped(BaseException):
    """SIGTERM came; not an Exception, so that nothing takes it for a cell's failure."""


class Stop:
    """Between rounds a stop waits for the checkpoint; elsewhere it comes at once."""

    def __init__(self) -> None:
        self.asked = False
        self._patient = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """SIGTERM is ours while this lasts; in a thread nobody can listen, and nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    @contextmanager
    def patient(self) -> Iterator[None]:
        """While this lasts a stop is only noted; who runs asks `asked`, saves and leaves."""
        self._patient = True
        try:
            yield
        finally:
            self._patient = False

    def leave_if_asked(self) -> None:
        if self.asked:
            raise Stopped

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if not self._patient:
            raise Stopped

"""One name for one place, however its path is written."""

from __future__ import annotations

import os
from pathlib import Path


def plain(path: str) -> str:
    """A path without ~, links, "." and "..", from the working folder on where it lies in that:
    what a name is made of, so that one folder is one data set in ids and tables."""
    real = Path(os.path.realpath(os.path.expanduser(path)))
    here = Path(os.path.realpath(os.getcwd()))
    return real.relative_to(here).as_posix() if real.is_relative_to(here) else real.as_posix()

"""Labels in MATLAB files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fplbench.errors import UserError


def read_mat(path: Path, *keys: str) -> list[Any]:
    """The arrays of these names, without axes of length 1; UserError if they are not there."""
    from scipy.io import loadmat

    try:
        content = loadmat(path, squeeze_me=True)
        return [content[key] for key in keys]
    # scipy raises what it likes for a file that is torn or of another kind.
    except Exception as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"{path} holds no {', '.join(keys)} ({problem}): download it again."
        ) from error


def as_list(values: Any) -> Sequence[Any]:
    """An array as a list, also the bare value that `squeeze_me` makes of a single one."""
    found = values.tolist()
    return found if isinstance(found, list) else [found]

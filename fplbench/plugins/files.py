"""Settings that name a file of the user's.

What is in the file decides a cell's numbers. So a hash of it stands behind its name, PATH#HASH, in
the record and in the cell's id, and a file that has another content by then is refused.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from fplbench.errors import UserError

_HASHED = re.compile(r"(.+)#([0-9a-f]{12})", re.DOTALL)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _parts(setting: str) -> tuple[str, str]:
    """Path and hash, "" where the setting has none yet."""
    found = _HASHED.fullmatch(setting)
    return (found[1], found[2]) if found else (setting, "")


def _content(setting: str) -> tuple[str, bytes]:
    """Path and content. ValueError: it cannot be read, or is not what its hash says."""
    path, wanted = _parts(setting)
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(
            f"{path} cannot be read from {Path.cwd()} ({why}): name a file that is there, by its "
            "whole path where processes work in other folders"
        ) from error
    if wanted and wanted != _hash(content):
        raise ValueError(
            f"the content of {path} has the hash {_hash(content)}, and {wanted} is asked for: "
            "bring the old content back, or name the file without a hash and run anew"
        )
    return path, content


def _with_hash(setting: str) -> str:
    if not setting:
        return setting
    path, content = _content(setting)
    return f"{path}#{_hash(content)}"


UserFile = Annotated[str, AfterValidator(_with_hash)]
"""The type of such a setting: a path as the user writes it, kept as PATH#HASH; "" for none."""


@functools.lru_cache(maxsize=4)
def text_of(setting: str) -> str:
    """What is in the file of a UserFile. UserError: it cannot be read, has changed since, or is
    no text in UTF-8."""
    try:
        path, content = _content(setting)
    except ValueError as error:
        raise UserError(f"{error!s}.") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 ({error.reason}): save it as such.") from error


def json_of(setting: str) -> Any:
    """The same, read as JSON. UserError also where it is none, or names a key twice."""
    path, _ = _parts(setting)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise UserError(f"{path} has {twice[0]!r} more than once: keep one of them.")
        return dict(pairs)

    try:
        return json.loads(text_of(setting), object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is no JSON ({error}): mend it there.") from error

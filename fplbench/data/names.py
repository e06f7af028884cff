"""Names of folders as classes and domains: how they read, and which of them are one to a reader."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping

from fplbench.errors import UserError
from fplbench.records.phrases import and_


def spaced(name: str) -> str:
    """A folder's name as words."""
    return " ".join(composed(name).replace("_", " ").split())


def composed(name: str) -> str:
    """In Unicode's composed form (NFC): macOS stores names decomposed, other systems as typed."""
    return unicodedata.normalize("NFC", name)


def alike(name: str) -> str:
    """The same for two names that read the same, and that CLIP's tokenizer, which drops case,
    reads the same: "blue_jay" and "Blue jay ", composed and decomposed accents."""
    plain = unicodedata.normalize("NFKC", name.replace("_", " "))
    seen = "".join(letter for letter in plain if unicodedata.category(letter) != "Cf")
    return unicodedata.normalize("NFKC", " ".join(seen.split()).casefold())


def readable(name: str) -> str:
    """A name that any output takes; bytes that are no UTF-8 stand as \\xf6."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_text(name: str) -> bool:
    """Whether the bytes of a file's name are UTF-8."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def require_text(folder: object, names: Iterable[str]) -> None:
    """UserError for a name that is no text, or no words: it is to stand in prompts and tables."""
    for name in names:
        if not is_text(name):
            raise UserError(
                f"{readable(str(folder))} holds the folder {readable(name)}, whose name is not "
                "UTF-8, so nobody knows its letters: rename it (convmv -f latin1 -t utf8 --notest "
                "renames a whole tree)."
            )
        if not spaced(name):
            raise UserError(
                f"{readable(str(folder))} holds the folder {name!r}, which is no name for a "
                "prompt: rename it."
            )


def groups(names: Iterable[str]) -> dict[str, list[str]]:
    """Different names that read alike, by `alike`."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        found.setdefault(alike(name), []).append(name)
    return found


def require_different(folder: object, names: Iterable[str]) -> None:
    """UserError where two classes beside each other have one name in a prompt."""
    for same in groups(names).values():
        if len(same) > 1:
            these = and_([repr(name) for name in same])
            raise UserError(
                f"{readable(str(folder))} holds {these}, which are one name in a prompt, so CLIP "
                "cannot tell them apart: put their pictures into one folder, or rename one."
            )


def twins(classnames: Iterable[str]) -> list[str]:
    """Of class names that share a prompt, a clause each."""
    counts: dict[str, list[str]] = {}
    for name in classnames:
        counts.setdefault(alike(name), []).append(name)
    return [
        f"the classes {and_([repr(name) for name in same])} have one name in a prompt, so CLIP "
        "cannot tell them apart"
        for same in counts.values()
        if len(same) > 1
    ]


def respelt(spellings: Mapping[str, Iterable[str]]) -> list[str]:
    """Of names that were taken as one although a reader sees a difference: "Cat = cat"."""
    shown = []
    for names in spellings.values():
        seen = dict.fromkeys(spaced(name) for name in names)
        if len(seen) > 1:
            shown.append(" = ".join(seen))
    return shown

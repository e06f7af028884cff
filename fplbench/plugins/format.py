"""The contract of a format: one file in fplbench/formats/ (or a plug-in) with one subclass of
Format, which says how tables are written to files.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fplbench.plugins.base import Plugin

if TYPE_CHECKING:
    from fplbench.report.layout import Layout


@dataclass(frozen=True)
class Document:
    """What is written together. name: of the file that has all tables, without its ending;
    problems: sentences on records that could not be read."""

    name: str
    tables: Sequence[Layout]
    problems: Sequence[str] = ()


class Format(Plugin):
    """`tables --formats NAME`. default: whether it is written where nobody names formats."""

    kind = "format"
    texts = ("summary",)
    summary: ClassVar[str]
    default: ClassVar[bool] = True

    @abstractmethod
    def files(self, document: Document) -> dict[str, str | bytes]:
        """File name -> content. A table has its name (`Layout.name`) for files of its own."""

"""Markdown, for reading and for a README."""

from __future__ import annotations

from fplbench.plugins.format import Document, Format


class Markdown(Format):
    """All tables with their captions and notes."""

    name = "markdown"
    summary = "all tables in one file, for reading"

    def files(self, document: Document) -> dict[str, str | bytes]:
        from fplbench.report import markdown

        return {f"{document.name}.md": markdown.page(document.tables, document.problems)}

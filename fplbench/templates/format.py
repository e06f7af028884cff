"""Mine: what reads it."""

from __future__ import annotations

from fplbench.plugins.format import Document, Format


class Mine(Format):
    """Tables with tabs between the columns."""

    name = "mine"
    summary = "tables with tabs"

    def files(self, document: Document) -> dict[str, str | bytes]:
        """File name -> content."""
        lines: list[str] = []
        for table in document.tables:
            lines += [table.caption, "\t".join([table.corner, *(t for _, t in table.titles)])]
            lines += ["\t".join([row.label, *(e.text for e in row.entries)]) for row in table.rows]
        return {f"{document.name}.tsv": "\n".join([*lines, *document.problems, ""])}

"""CSV: every entry unrounded in a row of its own."""

from __future__ import annotations

from fplbench.plugins.format import Document, Format


class Csv(Format):
    """For a spreadsheet, or a plot of one's own."""

    name = "csv"
    summary = "every entry unrounded, a row each"

    def files(self, document: Document) -> dict[str, str | bytes]:
        from fplbench.report.layout import long_table

        return {f"{document.name}.csv": long_table(document.tables).to_csv(index=False)}

"""LaTeX for a paper: a bare tabular for each table, and a page that compiles."""

from __future__ import annotations

from fplbench.plugins.format import Document, Format


class Latex(Format):
    """NAME.tex has the captions and \\input's the tables' files."""

    name = "latex"
    summary = "a tabular a table, with booktabs, and a page that compiles"
    siunitx = False

    def files(self, document: Document) -> dict[str, str | bytes]:
        from fplbench.report import tex

        files: dict[str, str | bytes] = {
            f"{table.name}.tex": tex.tabular(table, self.siunitx) for table in document.tables
        }
        whole = f"{document.name}.tex"
        page = f"{document.name}-page.tex" if whole in files else whole
        return files | {page: tex.page(document.tables, document.problems, self.siunitx)}


class Siunitx(Latex):
    """The same files with numbers in siunitx's S columns."""

    name = "siunitx"
    summary = "LaTeX with siunitx's columns"
    default = False
    siunitx = True

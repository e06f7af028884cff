"""Chinese, Cyrillic and Greek names in tables, plots and contact sheets: none becomes another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from make_records import TITLES, make_record, write_done
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MultipleLocator
from pictures import class_tree

from fplbench.data import holdings, sheet
from fplbench.data.prepare import prepared
from fplbench.datasets.folder import FolderDomains
from fplbench.machine.fonts import PLAIN, _font_of, drawable, families, fit
from fplbench.plugins import registry
from fplbench.records.results import load_results
from fplbench.records.store import Store
from fplbench.report.escape import latex
from fplbench.report.looks import save
from fplbench.report.tables import write_tables
from fplbench.split.options import clients_of

PAIRS = [
    ("\u7d20\u63cf", "\u7167\u7247"),
    ("\u0444\u043e\u0442\u043e", "\u044d\u0441\u043a\u0438\u0437"),
    ("\u03c6\u03ce\u03c2", "\u03a3\u03ba\u03af\u03c4\u03c3\u03bf"),
    ("\U0001f431", "\U0001f436"),
]


@pytest.mark.parametrize("pair", PAIRS)
def test_columns_of_a_table_can_be_told_apart(tmp_path: Path, pair: tuple[str, str]) -> None:
    for name in pair:
        own = {"identity": {"data": name}, "id": f"c{pair.index(name)}"}
        write_done(Store(tmp_path), make_record("coop", name, "personal", **own))
    files = write_tables(load_results(tmp_path), tmp_path / "t", TITLES)
    assert latex(pair[0]) != latex(pair[1])
    names = {path.name for path in files}
    page = (tmp_path / "t" / "tables.tex").read_text(encoding="utf-8")
    assert len(names) == len(files)
    for name in pair:
        assert latex(name) in page
        assert name in (tmp_path / "t" / "tables.md").read_text(encoding="utf-8")
    beyond = any(ord(letter) >= 0x180 for letter in latex(pair[0]))
    assert (r"\usepackage{fontspec}" in page) == beyond
    assert ("inputenc" in page) != beyond
    bare = [p.read_text(encoding="utf-8") for p in files if p.suffix == ".tex"]
    assert any(text.startswith("% Its names are beyond pdflatex") for text in bare) == beyond


def test_latin_tables_are_as_they_were(tmp_path: Path) -> None:
    write_done(Store(tmp_path), make_record("coop", "caf\u00e9", "personal"))
    for path in write_tables(load_results(tmp_path), tmp_path / "t", TITLES):
        assert "beyond" not in path.read_text(encoding="utf-8")


def test_letters_without_a_font_are_numbers() -> None:
    greek, cyrillic = PAIRS[2][0], PAIRS[1][0]
    assert drawable(f"a {greek} {cyrillic}") == f"a {greek} {cyrillic}"
    assert families(greek + cyrillic) == [PLAIN]
    for letter in "\u7d20\U0001f431":
        if _font_of(letter):
            assert drawable(letter) == letter
            assert families(letter) == list(dict.fromkeys([PLAIN, _font_of(letter)]))
        else:
            assert drawable(letter) in (r"\u7d20", r"\U0001f431")


@pytest.mark.filterwarnings("error:Glyph")
def test_a_figure_has_every_name_and_no_boxes(tmp_path: Path) -> None:
    figure = Figure(figsize=(3, 3), layout="constrained")
    panel = figure.subplots()
    panel.set_title(PAIRS[0][0])
    panel.set_yticks(range(2), PAIRS[0])
    panel.plot([0, 1], label=PAIRS[0][1])
    panel.legend()
    fit(figure)
    figure.draw_without_rendering()
    shown = {text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)}
    assert {drawable(name) for name in PAIRS[0]} <= shown
    assert all(
        path.stat().st_size for path in save(figure, tmp_path / "a", pd.DataFrame({"a": [1]}))
    )


@pytest.mark.filterwarnings("error:Glyph")
def test_sheets_and_partitions_tell_classes_apart(tmp_path: Path) -> None:
    for domain in PAIRS[0]:
        class_tree(tmp_path / "d" / domain, {PAIRS[0][0]: 20, PAIRS[0][1]: 20})
    data = prepared(FolderDomains.of(str(tmp_path / "d")), None, tmp_path / "cache")
    path = sheet.draw(data, 2, 1, 0, tmp_path / "a.png")
    from PIL import Image

    page = np.asarray(Image.open(path).convert("L"))
    rows = page[26:, :140]
    assert not np.array_equal(rows[:90], rows[100:190])
    kind = registry.scenarios().get("domains")
    made = clients_of(kind(kind.Config()), data, 0)
    *_, file = holdings.draw(data, made, "d", tmp_path / "a.pdf")
    assert Path(file).stat().st_size


def test_numbers_on_an_axis_are_those_of_its_ticks_after_a_new_layout() -> None:
    figure = Figure()
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_xlim(-0.1, 0.2)
    axes.xaxis.set_major_locator(MultipleLocator(0.1))
    fit(figure)  # sees a negative tick, whose minus is no ASCII
    axes.xaxis.set_major_locator(MultipleLocator(0.05))
    figure.canvas.draw()
    said = [float(label.get_text().replace("−", "-")) for label in axes.get_xticklabels()]
    assert said == pytest.approx(list(axes.get_xticks()))

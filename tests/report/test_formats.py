"""Tables as LaTeX, Markdown, CSV and on the screen: whole, escaped, and of a size that fits."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from make_records import TITLES, make_record, store_values, write_done
from rich.console import Console

from fplbench.errors import UserError
from fplbench.records.record import Failure
from fplbench.records.results import load_results, with_headline
from fplbench.report.escape import latex, markdown
from fplbench.report.pivot import Pivot, pivot
from fplbench.report.tables import layouts, screen_tables, write_tables

NASTY = r"50%_of {a} $x$ & #1 ~ ^ \evil <b> | é ± µ *"


def test_wide_tables_are_cut_by_data_set(comparison: Path) -> None:
    names = [table.name for table in layouts(load_results(comparison), TITLES)]
    assert {"base2novel-shapes", "base2novel-digits", "domains", "domains-domains"} <= set(names)
    (by_domain,) = [
        table
        for table in layouts(load_results(comparison), TITLES)
        if table.name == "domains-domains"
    ]
    assert [title for _, title in by_domain.titles] == [
        "flat",
        "outline",
        "sketch & ink",
        "neon_glow",
    ]


def test_csv_has_unrounded_numbers(comparison: Path, tmp_path: Path) -> None:
    results = load_results(comparison)
    write_tables(results, tmp_path, TITLES)
    table = pd.read_csv(tmp_path / "tables.csv")
    row = table[(table["table"] == "base2novel-shapes") & (table["row"] == "FedPGP")].iloc[0]
    assert row["quantity"] == "local"
    local = results[
        (results["method"] == "fedpgp")
        & (results["dataset"] == "shapes")
        & (results["metric"] == "local")
    ]["value"]
    assert row["mean"] == pytest.approx(local.mean(), abs=1e-10)
    assert row["std"] == pytest.approx(local.std(ddof=1), abs=1e-10)


def test_every_latex_row_has_its_columns_and_environments_close(
    comparison: Path, tmp_path: Path
) -> None:
    files = write_tables(load_results(comparison), tmp_path, TITLES)
    for path in files:
        text = path.read_text()
        if path.suffix != ".tex":
            continue
        assert text.count(r"\begin{") == text.count(r"\end{")
        if path.name == "tables.tex":
            inputs = re.findall(r"\\input\{(.*?)\}", text)
            assert {f"{name}.tex" for name in inputs} == {
                p.name for p in files if p.suffix == ".tex" and p != path
            }
            continue
        width = len(re.search(r"@\{\}(lr+)@\{\}", text)[1])
        rows = re.findall(r"^(?!%).*\\\\$", text, re.MULTILINE)
        for row in rows:
            spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row))
            assert len(re.findall(r"(?<!\\)&", row)) + 1 + spans == width, row
        for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
            assert rule in text


def nasty_store(root: Path) -> dict[str, str]:
    """Names, errors and domains with everything that LaTeX and Markdown trip over."""
    store = store_values(root, {"promptfl": [70.0, None], "zeroshot": [60.0, 61.0]})
    for seed in range(2):
        write_done(store, make_record("coop", NASTY[:12], "personal", seed))
        write_done(store, make_record("coop", "shapes", "base2novel", seed, backbone=NASTY))
    error = make_record("fedotp", "digits", "personal", 0).model_copy(
        update={
            "status": "failed",
            "metrics": {},
            "error": Failure(kind="X", message=NASTY + "\n\n\\end{table} --- |"),
        }
    )
    store.write(error, pd.DataFrame(), {})
    return TITLES | {"coop": NASTY, "zeroshot": "α-CLIP λ μ"}


def test_names_are_escaped(tmp_path: Path) -> None:
    titles = nasty_store(tmp_path)
    write_tables(load_results(tmp_path), tmp_path / "out", titles)
    text = (tmp_path / "out" / "tables.tex").read_text()
    assert r"\evil" not in text
    assert r"\textbackslash{}end\{table\}" in text
    md = (tmp_path / "out" / "tables.md").read_text()
    assert "<b>" not in md
    for line in md.splitlines():
        if line.startswith("| ") and "Method" not in line:
            assert len(re.findall(r"(?<!\\)\|", line)) in {3, 4, 5, 6, 7}


def test_escapes() -> None:
    assert latex("a_b & 5% ± α\n--") == r"a\_b \& 5\% $\pm$ $\alpha$ -{}-"
    assert latex("λ漢é\x00\u2603") == r"$\lambda$漢é?U+2603"
    assert latex("a---b ½") == "a-{}-{}-b 1/2"
    assert markdown("A&lt;B & A<B") == "A&amp;lt;B &amp; A&lt;B"
    assert markdown("a|b *c* <d> [e](f)\ng") == r"a\|b \*c\* &lt;d\> \[e\](f) g"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
@pytest.mark.parametrize("nasty", [False, True])
def test_tables_compile_and_fit_a_column(comparison: Path, tmp_path: Path, nasty: bool) -> None:
    titles = nasty_store(tmp_path / "store") if nasty else TITLES
    results = load_results(tmp_path / "store" if nasty else comparison)
    write_tables(results, tmp_path / "out", titles)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "out" / "tables.pdf").stat().st_size > 10_000
    if not nasty:
        assert "Overfull" not in done.stdout


def test_the_screen_shows_it_in_100_columns(comparison: Path) -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for table in screen_tables(load_results(comparison), TITLES):
        console.print(table)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 100
    shapes = next(x for x in layouts(load_results(comparison), TITLES) if "shapes" in x.name)
    for row in shapes.rows:
        assert row.label in text
        for entry in row.entries:
            assert f"{entry.text} ± {entry.spread}" in text
    assert "…" not in text


def test_a_damaged_record_is_named_below_the_tables(tmp_path: Path) -> None:
    store = store_values(tmp_path, {"promptfl": [70.0, 71.0]})
    torn = make_record("promptfl", "digits", "personal", 1).id
    (store.root / torn / "record.json").write_text("{")
    with pytest.warns(UserWarning, match="damaged"):
        results = load_results(tmp_path)
    write_tables(results, tmp_path / "out", TITLES)
    assert torn in (tmp_path / "out" / "tables.md").read_text().replace("\\", "")
    assert "Left out" in (tmp_path / "out" / "tables.tex").read_text()


def test_nothing_to_report_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no records"):
        write_tables(load_results(tmp_path), tmp_path / "out", TITLES)


def test_heads_that_do_not_explain_themselves_are_explained(comparison: Path) -> None:
    found = {table.name: table.notes for table in layouts(load_results(comparison), TITLES)}
    assert found["base2novel-shapes"][0] == (
        "HM: harmonic mean of Local, Base and Novel. "
        "CM: mean of Local and the harmonic mean of Base and Novel."
    )
    assert found["domains"][0].startswith("Gl. domains: the shared prompt alone")
    assert not any(note.startswith("HM") for note in found["base2novel-shapes-cost"])


def test_reports_show_the_column_that_is_chosen_and_say_which(comparison: Path) -> None:
    table = with_headline(load_results(comparison), "worst_client", "of the worst client", "")
    found = {one.name: one for one in layouts(table, TITLES)}["base2novel-shapes"]
    worst = table[(table["method"] == "fedpgp") & (table["metric"] == "local")]
    worst = worst[worst["dataset"] == "shapes"]["worst_client"]
    (row,) = [row for row in found.rows if row.label == "FedPGP"]
    assert row.entries[0].mean == pytest.approx(worst.mean())
    assert "of the worst client" in found.caption
    asked = Pivot(("method",), ("dataset",), ("local",), {"scenario": "base2novel"})
    assert "of the worst client" in pivot(table, TITLES, asked).caption

"""A table of one's own averages only what may be averaged."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from make_records import TITLES, make_record, write_done, write_stopped

from fplbench.errors import UserError
from fplbench.formats.latex import Siunitx
from fplbench.records.record import Metric
from fplbench.records.results import load_results
from fplbench.records.store import Store
from fplbench.report.layout import Layout
from fplbench.report.pivot import Pivot, parse_where, pivot
from fplbench.report.tables import write_pivot, write_tables


@pytest.fixture
def swept(tmp_path: Path) -> Path:
    """Two methods over alpha on two data sets, three seeds; local is 10 alpha + seed, FedPGP's 5
    more and the second data set's 20 more."""
    store = Store(tmp_path / "store")
    for alpha in (0.5, 10.0, 1.0):
        for place, data in enumerate(("digits", "shapes")):
            for method in ("promptfl", "fedpgp"):
                for seed in range(3):
                    value = 10 * alpha + seed + 5 * (method == "fedpgp") + 20 * place
                    scenario = {"clients": 10, "alpha": alpha}
                    metrics = {"local": Metric(mean=value)}
                    cell = make_record(
                        method, data, "personal", seed, scenario_settings=scenario, metrics=metrics
                    )
                    write_done(store, cell)
    return store.root


def table(
    root: Path, rows: str, columns: str, metrics: str = "local", where: tuple[str, ...] = ()
) -> Layout:
    names = [tuple(text.split(",")) if text else () for text in (rows, columns, metrics)]
    return pivot(load_results(root), TITLES, Pivot(*names, parse_where(where)))


def texts(layout: Layout) -> dict[str, list[str]]:
    return {row.label: [entry.text for entry in row.entries] for row in layout.rows}


def test_a_swept_setting_becomes_columns_in_the_order_of_its_values(swept: Path) -> None:
    layout = table(swept, "method", "alpha", where=("dataset=digits",))
    assert [head for head, _ in layout.heads] == ["alpha 0.5", "alpha 1", "alpha 10"]
    assert texts(layout) == {
        "PromptFL": ["6.0", "11.0", "101.0"],
        "FedPGP": ["11.0", "16.0", "106.0"],
    }
    assert {row.entries[0].spread for row in layout.rows} == {"1.0"}
    assert "3 seeds" in layout.caption
    assert "scenario personal" in layout.caption


def test_data_sets_are_averaged_when_they_are_no_column(swept: Path) -> None:
    layout = table(swept, "alpha", "method", where=("alpha=0.5",))
    assert (layout.corner, texts(layout)) == ("alpha", {"0.5": ["16.0", "21.0"]})
    assert "on digits and shapes, each counting once" in layout.caption


def test_a_missing_data_set_leaves_no_average(swept: Path) -> None:
    lost = load_results(swept)
    lost = lost[(lost["method"] == "fedpgp") & (lost["dataset"] == "shapes")]
    for path in lost["path"]:
        shutil.rmtree(path)
    layout = table(swept, "method", "alpha")
    assert texts(layout)["FedPGP"] == ["part."] * 3
    assert any(note.startswith("part.") for note in layout.notes)


def test_what_may_not_be_mixed_is_refused_all_at_once(swept: Path) -> None:
    store = Store(swept)
    write_done(store, make_record("promptfl", "digits", "base2novel", 0))
    training = {"rounds": 99}
    write_done(store, make_record("promptfl", "digits", "personal", 0, training=training))
    with pytest.raises(UserError) as caught:
        table(swept, "method", "dataset")
    for name in ("scenario (base2novel, personal)", "train.rounds (10, 99)", "scen.alpha (0.3, "):
        assert name in str(caught.value)
    with pytest.raises(UserError, match="method"):
        table(swept, "dataset", "alpha", where=("scenario=personal", "rounds=10"))


def test_variants_of_a_method_are_not_averaged(swept: Path) -> None:
    changes = {"settings": {"n_ctx": 4}, "scenario_settings": {"clients": 10, "alpha": 1.0}}
    write_done(Store(swept), make_record("fedpgp", "digits", "personal", 0, **changes))
    with pytest.raises(UserError, match=r"set.n_ctx \(4, 16\)"):
        table(swept, "method", "alpha")
    assert "FedPGP, n_ctx 4" in texts(table(swept, "method,n_ctx", "alpha,dataset"))


def test_a_setting_that_is_no_default_is_named_below(tmp_path: Path) -> None:
    settings = {"settings": {"n_ctx": 16, "mu": 0.0}, "changed": ["set.mu"]}
    write_done(Store(tmp_path), make_record("fedpgp", "digits", "personal", 0, **settings))
    assert "Not the default: mu 0 (FedPGP)." in table(tmp_path, "method", "dataset").notes
    assert not any("mu" in note for note in table(tmp_path, "method,mu", "dataset").notes)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("weights", r"ident.weights \(a, b\)"),
        ("data", r"ident.data \(a, b\)"),
        ("split", r"ident.split \(a, b\)"),
        ("method", r"ident.method \(a, b\)"),
        ("protocol", r"ident.protocol \(1, 2\)"),
    ],
)
def test_what_differs_in_an_identity_is_refused(tmp_path: Path, changed: str, said: str) -> None:
    """Also where the odd one is a seed of its own, or stands in another row or column."""
    store = Store(tmp_path)
    plain = {"method": "a", "data": "a", "split": "a", "weights": "a"}
    for seed in range(3):
        made = {"identity": plain, "protocol": 1}
        if seed == 2 and changed == "protocol":
            made["protocol"] = 2
        elif seed == 2:
            made["identity"] = plain | {changed: "b"}
        write_done(store, make_record("fedpgp", "digits", "personal", seed, **made))
    with pytest.raises(UserError, match=said):
        table(tmp_path, "method", "dataset")
    apart = table(tmp_path, f"method,ident.{changed}", "dataset")
    assert {row.entries[0].seeds for row in apart.rows} == {1, 2}


@pytest.mark.parametrize(
    ("rows", "metrics", "where", "said"),
    [
        ("colour", "local", (), "no colour"),
        ("method", "novel", (), "no metric novel; they have local"),
        ("method", "local", ("dataset=mars",), "there are digits, shapes"),
        ("method", "local", ("dataset",), "write NAME=VALUE"),
    ],
)
def test_a_name_that_means_nothing_is_one_sentence(
    swept: Path, rows: str, metrics: str, where: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        table(swept, rows, "alpha", metrics, where)


def test_a_stopped_cell_is_shown_and_told(swept: Path) -> None:
    write_stopped(Store(swept), make_record("fedotp", "digits", "personal", 1))
    layout = table(swept, "method", "alpha", where=("dataset=digits",))
    assert texts(layout)["FedOTP"] == ["div.", "--", "--", "--"]
    assert any("the loss is not finite" in note for note in layout.notes)


@pytest.mark.skipif(
    not shutil.which("kpsewhich") or bool(subprocess.call(["kpsewhich", "siunitx.sty"])),
    reason="LaTeX with siunitx is not installed",
)
def test_siunitx_tables_compile(comparison: Path, swept: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_tables(load_results(comparison), out, TITLES, [Siunitx()])
    asked = Pivot(("method",), ("alpha",), ("local",), {"dataset": "digits"})
    _, files = write_pivot(load_results(swept), out, TITLES, asked, [Siunitx()])
    pages = [path for path in files if path.name.endswith("-page.tex")]
    for name in ("tables.tex", *(path.name for path in pages)):
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", name],
            cwd=out,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:]
        assert "Overfull" not in done.stdout
    assert r"S[table-format=3.1(2)]" in (out / "method-by-alpha-local.tex").read_text()


def test_two_methods_of_one_title_are_two_rows(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for method, value in (("coop", 40.0), ("promptfl", 90.0)):
        for seed in range(2):
            metrics = {"local": Metric(mean=value + seed)}
            write_done(store, make_record(method, "digits", "personal", seed, metrics=metrics))
    titles = {"coop": "Same", "promptfl": "Same"}
    layout = pivot(load_results(tmp_path), titles, Pivot(("method",), ("dataset",), ("local",), {}))
    assert texts(layout) == {"Same, coop": ["40.5"], "Same, promptfl": ["90.5"]}


def test_a_caption_counts_the_seeds_of_each_column(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for data, seeds in (("digits", 2), ("shapes", 4)):
        for method in ("coop", "promptfl"):
            for seed in range(seeds):
                metrics = {"local": Metric(mean=50.0 + seed)}
                write_done(store, make_record(method, data, "personal", seed, metrics=metrics))
    caption = table(tmp_path, "method", "dataset").caption
    assert "over 2 or 4 seeds" in caption
    assert "t-tests over the seeds" in caption


def test_a_table_of_costs_alone_speaks_of_costs(swept: Path) -> None:
    asked = Pivot(("method",), ("alpha",), ("seconds_round", "up_bytes"), {"dataset": "digits"})
    caption = str(pivot(load_results(swept), TITLES, asked).caption)
    assert caption.startswith("Cost on digits; mean over 3 seeds (seconds: median and range). ")
    assert "marked as best" not in caption


def test_rows_of_seeds_have_their_own_seed_alone(swept: Path) -> None:
    asked = Pivot(("seed",), ("method",), ("local",), {"dataset": "digits", "alpha": "1.0"})
    found = pivot(load_results(swept), TITLES, asked)
    assert not any(entry.fewer for row in found.rows for entry in row.entries)
    assert "; mean over 1 seed." in str(found.caption)


def test_cells_that_all_stopped_have_no_table_of_ones_own(tmp_path: Path) -> None:
    write_stopped(Store(tmp_path), make_record("promptfl", "digits", "personal"))
    with pytest.raises(UserError, match="None of these cells has numbers"):
        pivot(load_results(tmp_path), TITLES, Pivot(("method",), ("dataset",), ("local",), {}))


def test_of_two_cells_of_one_place_the_latest_counts(tmp_path: Path) -> None:
    for value, when in ((50.0, "2026-01-02"), (70.0, "2026-01-01")):
        metrics = {"local": Metric(mean=value)}
        record = make_record("coop", "digits", "personal", metrics=metrics, finished=when)
        write_done(Store(tmp_path), record)
    found = pivot(load_results(tmp_path), TITLES, Pivot(("method",), ("dataset",), ("local",), {}))
    assert [entry.text for entry in found.rows[0].entries] == ["50.0"]


def test_an_average_over_data_sets_is_over_the_seeds_that_all_have(tmp_path: Path) -> None:
    for data, seeds in (("digits", 2), ("shapes", 3)):
        for seed in range(seeds):
            metrics = {"local": Metric(mean=50.0 + 10 * seed)}
            write_done(
                Store(tmp_path), make_record("coop", data, "personal", seed, metrics=metrics)
            )
    found = pivot(load_results(tmp_path), TITLES, Pivot(("method",), (), ("local",), {}))
    (entry,) = found.rows[0].entries
    assert (entry.text, entry.seeds, entry.fewer) == ("55.0", 2, False)

"""Plots are files that a paper takes, and a method looks the same in all of them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from make_records import TITLES, make_record, write_done, write_stopped
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from fplbench.errors import UserError
from fplbench.records.record import Metric
from fplbench.records.results import load_results
from fplbench.records.store import Store
from fplbench.report import over_sets, partitions, ranks, sweeps
from fplbench.report.figures import pareto_front
from fplbench.report.looks import COLUMN, PAGE, looks, save
from fplbench.report.plots import page as plots_page
from fplbench.report.plots import write_plots
from fplbench.report.significance import ranking

HEADLINE = ("local", "base", "novel", "hm", "cm")
MANY = {f"m{place:02}": f"Method {place}" for place in range(20)}


@pytest.fixture(scope="module")
def plots(comparison: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("plots")
    return {path.name: path for path in write_plots(comparison, out, TITLES)}


def test_each_group_and_data_set_has_its_plots(plots: dict[str, Path]) -> None:
    stems = ["base2novel-shapes", "base2novel-digits", "domains"]
    kinds = ["rounds", "tradeoff", "clients", "cost"]
    over = [f"base2novel-{k}-{m}" for k in ("profile", "iqm") for m in HEADLINE]
    drawn = [*(f"{s}-{k}" for s in stems for k in kinds), *over]
    assert set(plots) == {f"{name}.{end}" for name in drawn for end in ("pdf", "png", "csv")}


def test_pdfs_embed_truetype_fonts_and_are_a_column_wide(plots: dict[str, Path]) -> None:
    for name, path in plots.items():
        if path.suffix == ".pdf":
            data = path.read_bytes()
            assert b"/Type3" not in data, name
            assert b"/FontFile2" in data or b"/ObjStm" in data, name
            assert f"/MediaBox [ 0 0 {COLUMN * 72:g}".encode() in data, name


def test_pngs_show_something_and_touch_no_edge(plots: dict[str, Path]) -> None:
    for name, path in plots.items():
        if path.suffix == ".png":
            ink = imread(path)[..., :3].min(axis=2) < 0.95
            assert 0.005 < ink.mean() < 0.5, name
            assert not ink[0].any(), name
            assert not ink[-1].any(), name
            assert not ink[:, 0].any(), name
            assert not ink[:, -1].any(), name


def test_a_method_looks_the_same_whatever_is_beside_it() -> None:
    alone = looks({"FedPGP": "fedpgp"}, TITLES)
    beside = looks({title: name for name, title in TITLES.items()}, TITLES)
    assert alone["FedPGP"] == beside["FedPGP"]


def test_many_methods_and_variants_look_different() -> None:
    found = looks({title: name for name, title in MANY.items()}, MANY)
    assert len(set(found.values())) == len(MANY)
    variants = looks({f"FedPGP (mu={mu})": "fedpgp" for mu in range(4)}, TITLES)
    assert len({look.colour for look in variants.values()}) == 1
    assert len(set(variants.values())) == 4


def test_a_stopped_cell_draws_no_line(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    write_done(store, make_record("promptfl"))
    before = write_plots(store.root, tmp_path / "a", TITLES)
    write_stopped(store, make_record("promptfl", seed=1))
    after = write_plots(store.root, tmp_path / "b", TITLES)
    assert [path.name for path in before] == [path.name for path in after]


def test_a_store_of_stopped_cells_alone_has_no_plots(tmp_path: Path) -> None:
    write_stopped(Store(tmp_path), make_record())
    with pytest.raises(UserError, match=r"nothing to draw, since no cell .* has numbers"):
        write_plots(tmp_path, tmp_path / "out", TITLES)


def test_names_with_markup_are_drawn_as_they_are(tmp_path: Path) -> None:
    write_done(Store(tmp_path), make_record("promptfl", "a_$b", "personal"))
    titles = {"promptfl": r"50% \frac{$x_1$} & more"}
    assert len(write_plots(tmp_path, tmp_path / "out", titles)) == 4 * 3


def test_the_front_is_what_nothing_beats_in_both() -> None:
    points = np.array([[1.0, 5.0], [2.0, 4.0], [2.0, 3.0], [0.5, 5.0], [3.0, 1.0], [1.0, 5.0]])
    assert pareto_front(points).tolist() == [[1.0, 5.0], [2.0, 4.0], [3.0, 1.0]]


@given(
    npst.arrays(
        float,
        npst.array_shapes(min_dims=2, max_dims=2).map(lambda s: (s[0], 2)),
        elements=st.integers(0, 5).map(float),
    )
)
def test_whatever_is_not_on_the_front_is_beaten_by_it(points: np.ndarray) -> None:
    front = pareto_front(points)
    for point in points:
        above = front[(front >= point).all(axis=1)]
        assert len(above)
    for one in front:
        assert not ((points >= one).all(axis=1) & (points > one).any(axis=1)).any()


def sweep_of(root: Path, alphas: list[float], **more: object) -> Store:
    store = Store(root)
    for alpha in alphas:
        for seed in range(2):
            for method in ("zeroshot", "promptfl"):
                scenario = {"clients": 10, "alpha": alpha}
                cell = make_record(
                    method, "digits", "personal", seed, scenario_settings=scenario, **more
                )
                write_done(store, cell)
    return store


def test_a_swept_setting_is_an_axis(tmp_path: Path) -> None:
    store = sweep_of(tmp_path / "store", [0.1, 1.0, 10.0])
    sweep_of(store.root, [0.5], training={"rounds": 99})  # another budget: no point of the curve
    (sweep,) = sweeps.find(load_results(store.root), TITLES)
    assert (sweep.setting, sweep.values) == ("scen.alpha", [0.1, 1.0, 10.0])
    assert set(sweep.frame["row"]) == {"CLIP zero-shot", "PromptFL"}
    names = {path.name for path in write_plots(store.root, tmp_path / "out", TITLES)}
    assert {"personal-digits-over-alpha.pdf", "personal-digits-over-alpha.png"} <= names


def test_other_data_or_weights_are_no_points_of_a_sweep(tmp_path: Path) -> None:
    for identity in ({"data": "a", "weights": "a"}, {"data": "b", "weights": "a"}):
        sweep_of(tmp_path, [0.1, 1.0], identity=identity)
    sweep_of(tmp_path, [10.0], identity={"data": "b", "weights": "b"})
    found = list(sweeps.find(load_results(tmp_path), TITLES))
    assert [sweep.values for sweep in found] == [[0.1, 1.0]] * 2


def test_the_partition_is_drawn_from_the_record(tmp_path: Path) -> None:
    label_counts = [{"zero": 3, "two": 1}, {"one": 5}, {}]
    record = make_record("promptfl", clients=3, label_counts=label_counts)
    table, classes = partitions.counts(record)
    assert classes == ["zero", "two", "one"]
    assert table.tolist() == [[3, 1, 0], [0, 0, 5], [0, 0, 0]]
    write_done(Store(tmp_path / "store"), record)
    names = {path.name for path in write_plots(tmp_path / "store", tmp_path / "out", TITLES)}
    assert "base2novel-partition.pdf" in names


def test_many_data_sets_have_a_critical_difference_diagram(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for place in range(4):
        for method in ("zeroshot", "coop", "promptfl", "fedpgp"):
            for seed in range(2):
                write_done(store, make_record(method, f"set{place}", "personal", seed))
    names = {path.name for path in write_plots(store.root, tmp_path / "out", TITLES)}
    assert {"personal-ranks-local.pdf", "personal-ranks-local.png"} <= names


def test_a_methods_own_setting_and_its_rate_are_axes_too(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    usual = make_record("fedpgp", "digits", "personal")
    for mu in (0.1, 1.0, 10.0):
        for seed in range(2):
            settings = {**usual.settings, "mu": mu}
            write_done(store, make_record("fedpgp", "digits", "personal", seed, settings=settings))
    for lr in (0.01, 0.02):
        training = {**usual.training, "lr": lr}
        write_done(store, make_record("coop", "digits", "personal", training=training))
    found = {sweep.setting: sweep for sweep in sweeps.find(load_results(store.root), TITLES)}
    assert {name: sweep.values for name, sweep in found.items()} == {
        "set.mu": [0.1, 1.0, 10.0],
        "train.lr": [0.01, 0.02],
    }
    assert set(found["set.mu"].frame["row"]) == {TITLES["fedpgp"]}
    files = {path.name: path for path in write_plots(store.root, tmp_path / "out", TITLES)}
    drawn = pd.read_csv(files["personal-digits-over-mu.csv"])
    assert sorted(set(drawn["set.mu"])) == [0.1, 1.0, 10.0]
    assert len(drawn) == 3 * 2 * drawn["metric"].nunique()


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=20, unique=True), st.booleans())
def test_ticks_keep_both_ends_and_stand_apart(values: list[float], log: bool) -> None:
    values = sorted(values)
    kept = sweeps._apart(values, log)
    assert (kept[0], kept[-1]) == (values[0], values[-1])
    at = np.log(kept) if log else np.array(kept)
    if len(kept) > 2:
        assert np.diff(at).min() >= (at[-1] - at[0]) * sweeps.NEAR * (1 - 1e-9)


def test_a_profile_is_the_share_of_runs_and_its_band_is_over_seeds() -> None:
    scores = np.array([[1.0, 5.0], [3.0, 5.0], [3.0, 7.0]])  # [seeds, data sets]
    at = np.array([0.0, 1.0, 2.0, 4.0, 6.0, 8.0])
    share, low, high = over_sets.profile(scores, at)
    runs = scores.ravel()
    assert share.tolist() == [(runs >= value).mean() for value in at]
    assert ((low <= share) & (share <= high)).all()
    assert (low[0], high[0], low[-1], high[-1]) == (1, 1, 0, 0)
    assert low[2] < share[2] < high[2]
    one, same, also = over_sets.profile(scores[:1], at)
    assert one.tolist() == same.tolist() == also.tolist()


def test_what_is_drawn_lies_beside_the_figure(tmp_path: Path) -> None:
    store, values = Store(tmp_path / "store"), {"zeroshot": [50.0, 60.0], "promptfl": [70.0, 90.0]}
    counts = [{"dog": 2, "cat": 3}, {"cat": 4}]
    for method, each in values.items():
        record = make_record(method, "digits", "personal", clients=2, label_counts=counts)
        local = Metric(mean=sum(each) / 2, per_client=list(each))
        metrics = {"local": local, "global": Metric(mean=40.0)}
        write_done(store, record.model_copy(update={"metrics": metrics}))
    files = {path.name: path for path in write_plots(store.root, tmp_path / "out", TITLES)}
    gains = pd.read_csv(files["personal-gains.csv"])
    assert gains["images of dog"].tolist() == [2, 0]
    assert gains["gain of PromptFL"].tolist() == [20, 30]  # over what trains nothing
    assert "gain of CLIP zero-shot" not in gains
    cost = pd.read_csv(files["personal-cost.csv"]).set_index("row")
    assert cost.loc["PromptFL", "value"] == 80
    page = plots_page(list(files.values()), "fplbench plots here", tmp_path)[0].read_text()
    assert page.count("    fplbench plots here\n") == len(files) / 3
    assert "[personal-gains.csv](personal-gains.csv)" in page


def test_a_figure_is_as_wide_as_one_column_or_two(tmp_path: Path) -> None:
    write_done(Store(tmp_path), make_record("promptfl", "digits", "personal"))
    for columns, width in ((1, COLUMN), (2, PAGE)):
        files = write_plots(tmp_path, tmp_path / f"out{columns}", TITLES, columns=columns)
        for path in files:
            if path.suffix == ".pdf":
                assert f"/MediaBox [ 0 0 {width * 72:g}".encode() in path.read_bytes(), path


@pytest.mark.filterwarnings("error:Glyph")
def test_names_of_every_script_are_drawn(tmp_path: Path) -> None:
    name = "φώς фото 猫"
    for method in ("zeroshot", "promptfl"):
        for data, counts in ((name, [{name: 2, "cat": 3}, {"cat": 4}]), ("digits", [])):
            cell = make_record(method, data, "personal", clients=2, label_counts=counts)
            write_done(Store(tmp_path), cell)
    titles = {"promptfl": f"PromptFL {name}", "zeroshot": "CLIP"}
    files = [path.name for path in write_plots(tmp_path, tmp_path / "out", titles)]
    assert sum("-gains" in file for file in files) == 3
    assert sum("-profile-" in file for file in files) == 2 * 3


def test_nothing_to_draw_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no records"):
        write_plots(tmp_path, tmp_path / "out", TITLES)


@given(st.lists(st.sets(st.integers(0, 12)), max_size=6))
def test_classes_of_a_partition_stand_in_the_data_sets_order(held: list[set[int]]) -> None:
    clients = [[f"class {label}" for label in sorted(one)] for one in held]
    order = partitions.in_order(clients)
    assert sorted(order) == sorted({name for one in clients for name in one})
    for one in clients:
        assert [name for name in order if name in one] == one
    everything = [f"class {label}" for label in range(13)]
    assert partitions.in_order([*clients, everything]) == everything


def test_classes_that_clients_do_not_share_stand_client_by_client() -> None:
    assert partitions.in_order([["c", "d"], ["a", "b"]]) == ["c", "d", "a", "b"]


def test_many_ranks_are_a_list_and_who_has_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    values = pd.DataFrame(
        {f"method {i}": 50 + i + rng.normal(size=6) for i in range(33)},
        index=[f"data {i}" for i in range(6)],
    )
    found = ranking(values)
    assert found is not None
    figures: list[Figure] = []

    def kept(figure: Figure, name: Path, drawn: pd.DataFrame) -> list[Path]:
        figures.append(figure)
        return save(figure, name, drawn)

    monkeypatch.setattr(ranks, "save", kept)
    assert all(
        path.exists() for path in ranks.draw(found, "local", "Local", tmp_path / "x", ["Late"])
    )
    (figure,) = figures
    (panel,) = figure.axes
    FigureCanvasAgg(figure).draw()
    names = panel.get_yticklabels()
    assert len(names) == 33
    boxes = [text.get_window_extent() for text in names]
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))
    assert "without Late, not run with all of them" in " ".join(figure.get_suptitle().split())

"""Presets are complete, can be run as they are, and give way to flags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benches import workbench
from command_line import call

from fplbench.errors import UserError
from fplbench.features.stock import Workbench
from fplbench.grid.expand import expand
from fplbench.grid.preset import overridden, preset, presets
from fplbench.plugins import registry
from fplbench.report.published import published
from fplbench.spec import Request, Training

METHODS, DATASETS = registry.methods(), registry.datasets()
BACKBONES = {"ViT-B-16:openai", "RN50:openai"}


def points(name: str) -> list[Request]:
    """What a preset asks for, no list left among its settings."""
    return overridden(preset(name), {}, {}, {}).points()


@pytest.mark.parametrize("name", presets())
def test_every_name_and_setting_of_a_preset_exists(name: str) -> None:
    chosen = preset(name)
    run = chosen.run
    assert set(run.methods) <= METHODS.classes.keys()
    assert all(DATASETS.get(name) for name in run.datasets)
    assert run.backbone in BACKBONES
    scenario = registry.scenarios().get(run.scenario)
    for point in points(name):
        mine = {k: v for k, v in point.options.items() if k in scenario.Config.model_fields}
        scenario.Config(**mine)
        Training(**{k: v for k, v in point.options.items() if k not in mine})
        for key, value in point.sets.items():
            method, _, setting = key.partition(".")
            assert method in run.methods
            resolved = METHODS.classes[method].Config(**{setting: value})
            assert getattr(resolved, setting) == value
    told = {key.partition(".")[0] for key in run.sets if key.endswith(".n_ctx")}
    for method in set(run.methods) - {"zeroshot"} - told:  # the repositories' 16, our default
        assert METHODS.classes[method].Config().model_dump().get("n_ctx", 16) == 16
    assert len(chosen.cannot) >= 3
    assert all(chosen.name in line or line.endswith(".") for line in chosen.explained())


# Cells of one data set and seed; a setting that a method lacks gives it one cell.
SWEPT = {
    "fedpgp-rank": 8,
    "fedpgp-cifar100": 4,
    "fedpgp-lodo": 3 * 5,
    "fedmvp-multi-source": 3 * 5,
    "fedmvp-single-source": 3 * 5,
}


@pytest.mark.parametrize("name", presets())
def test_a_preset_expands_to_a_cell_for_each_value_it_sweeps(name: str, bench: Workbench) -> None:
    """On small embedded data, since none of the papers' is here."""
    run = preset(name).run
    suited = {"domains": "shapes_domains", "federation": "digits+shapes_domains"}
    here = suited.get(run.scenario, "digits")
    few: dict[str, object] = {"clients": 4} if here == "digits" else {}
    if "test_on" in run.options:
        few["test_on"] = "digits"
    given = {"datasets": (here,), "backbones": ("tiny",), "seeds": (0,)}
    found = expand(overridden(preset(name), given, few, {}), bench)
    assert len(found) == SWEPT.get(name, len(run.methods))
    assert {cell.method for cell in found} == set(run.methods)
    for cell in found:
        whole = cell.scenario_settings | cell.training.model_dump()
        for key, value in (run.options | few).items():
            if key in ("hold_out", "source"):
                assert whole[key] in bench.data(here).domains
            else:
                assert whole[key] in (value if isinstance(value, list) else [value])
        for key, value in run.sets.items():
            method, _, setting = key.partition(".")
            if cell.method == method:
                assert cell.settings[setting] in (value if isinstance(value, list) else [value])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return workbench(tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize(
    ("name", "paper", "table"),
    [
        ("pfedmoap-table1", "pFedMoAP", "1"),
        ("pfedmoap-table2", "pFedMoAP", "2"),
        ("pfedmoap-table3", "pFedMoAP", "3"),
        ("pfedmoap-table4", "pFedMoAP", "4"),
        ("fedmgp-table1", "FedMGP", "1"),
        ("fedmgp-table2", "FedMGP", "2"),
        ("dpfpl-table2", "DP-FPL", "2"),
        ("dpfpl-table2", "DP-FPL", "3"),
    ],
)
def test_a_preset_agrees_with_what_its_table_prints(name: str, paper: str, table: str) -> None:
    run = preset(name).run
    rows = [r for r in published() if r.paper.startswith(paper) and r.table == table]
    assert {r.scenario for r in rows} == {run.scenario}
    assert {f"{r.arch}:openai" for r in rows} == {run.backbone}
    assert {r.dataset for r in rows if not r.dataset.startswith("average")} == set(run.datasets)
    assert {r.participation for r in rows} == {run.options["participation"]}
    assert {r.alpha for r in rows} == {run.options.get("alpha")}
    printed = {r.clients for r in rows} - {None}
    domains = len({r.metric for r in rows if r.metric.startswith("domain/")})
    ours = run.options.get("clients") or domains * run.options["clients_per_domain"]
    assert printed <= {ours}
    assert {r.named for r in rows} >= set(run.methods)


def test_flags_override_a_preset() -> None:
    chosen = preset("fedmgp-table1")
    request = overridden(
        chosen,
        {"methods": ("fedpgp",), "seeds": (7,), "backbones": ("tiny",)},
        {"shots": 4},
        {"fedpgp.mu": 1.0, "n_ctx": 4},
    )
    assert (request.methods, request.seeds) == (("fedpgp",), (7,))
    assert request.backbones == ("tiny",)
    assert request.datasets == chosen.run.datasets
    assert request.options == {**chosen.run.options, "shots": 4}
    assert request.sets == {"fedpgp.rank": 8, "fedpgp.mu": 1.0, "fedpgp.tau": 0.5, "n_ctx": 4}


def test_another_scenario_leaves_out_what_belongs_to_the_presets_own() -> None:
    request = overridden(
        preset("fedmgp-table2"), {"scenarios": ("pathological",)}, {"shots": 2}, {}
    )
    assert "alpha" not in request.options
    assert "clients" not in request.options
    assert (request.options["rounds"], request.options["shots"]) == (100, 2)


def test_a_wrong_name_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'fedpgp-table1'"):
        preset("fedpgp-tabel1")
    with pytest.raises(UserError, match="known: dpfpl-table2"):
        preset("x")


def test_a_preset_runs_with_flags_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    asked = ["run", "--preset", "fedmgp-table2", "--datasets", "digits", "--backbone", "tiny"]
    asked += ["--methods", "promptfl", "--rounds", "1", "--clients", "4", "--seeds", "3"]
    code, _, err = call([*asked, "--out", str(tmp_path / "out")], monkeypatch, capsys)
    assert code == 0, err
    assert "fedmgp-table2 follows Bo et al., NeurIPS 2025 (FedMGP), table 2" in err
    assert "Not followed: baselines of the paper" in err
    (record,) = [json.loads(p.read_text()) for p in tmp_path.glob("out/*/record.json")]
    assert record["training"]["batch_size"] == 32
    assert record["training"]["participation"] == 0.1
    assert record["training"]["rounds"] == 1
    assert record["scenario_settings"]["clients"] == 4
    assert record["seed"] == 3


def test_data_that_are_not_there_are_named_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["run", "--preset", "fedpgp-table1", "--data-root", str(tmp_path)]
    code, _, err = call([*asked, "--out", str(tmp_path / "out")], monkeypatch, capsys)
    assert code == 2
    for name in preset("fedpgp-table1").run.datasets:
        assert name in err
    assert not (tmp_path / "out").exists()


def test_a_run_of_nothing_says_what_to_give(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(["run", "--methods", "coop"], monkeypatch, capsys)
    assert (code, "--datasets NAMES, or a --preset" in " ".join(err.split())) == (2, True)


def test_presets_are_listed_with_paper_table_and_what_is_not_followed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = call(["list", "presets"], monkeypatch, capsys)
    for name, chosen in presets().items():
        assert f"{name} follows {chosen.paper}, table {chosen.table}" in out
    assert out.count("Not followed: ") == len(presets())

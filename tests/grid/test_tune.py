"""Settings are chosen by equally many draws, on images and seeds that no table shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from command_line import call
from hypothesis import given
from hypothesis import strategies as st
from make_records import make_record, write_done, write_stopped
from plugin_texts import method_text

from fplbench.errors import UserError
from fplbench.grid import spaces, tune
from fplbench.grid.again import cell_of
from fplbench.grid.jobs import Job
from fplbench.method import Method
from fplbench.plugins import registry
from fplbench.records import command
from fplbench.records.record import Metric
from fplbench.records.results import load_results
from fplbench.records.store import Store, read_record
from fplbench.report.groups import split
from fplbench.spec import Request, Training

METHODS = registry.methods().classes
FILE = Path(__file__).parents[2] / "methods" / spaces.FILE


@pytest.mark.parametrize("name", METHODS)
def test_every_space_is_of_a_setting_and_holds_its_default(name: str) -> None:
    """Else the defaults, which are the first draw, would be tried twice as an outsider."""
    found = spaces.spaces_of(METHODS[name])
    assert "lr" in found
    usual = METHODS[name].Config().model_dump() | Training().model_dump()
    for setting, space in found.items():
        assert len(space.source) > 20
        low, high = min(space.ends), max(space.ends)  # type: ignore[type-var]
        assert low <= usual[setting] <= high, setting  # type: ignore[operator]
        assert not space.values or usual[setting] in space.values


def test_the_file_of_spaces_names_methods_that_are_there() -> None:
    assert set(yaml.safe_load(FILE.read_text())) <= set(METHODS)


finite = st.floats(1e-6, 1e6)


@given(finite, finite, st.booleans(), st.integers(0, 2**32))
def test_a_draw_lies_in_its_space_and_can_be_typed(
    a: float, b: float, log: bool, seed: int
) -> None:
    low, high = sorted((a, b))
    if low == high:
        return
    space = spaces.Space(low=low, high=high, log=log, source="a test")
    value = float(space.draw(np.random.default_rng(seed)))
    assert low <= value <= high
    assert value in (low, high) or float(f"{value:.3g}") == value


def test_a_larger_budget_adds_draws_and_moves_none() -> None:
    kind = METHODS["fedpgp"]
    none: frozenset[str] = frozenset()
    each = [spaces.drawn(kind, number, 0, none) for number in range(6)]
    assert each[0] == {}
    assert len({str(draw) for draw in each}) == 6
    assert set(each[1]) == {"rank", "mu", "tau", "lr"}
    assert spaces.drawn(kind, 3, 0, none) == each[3] != spaces.drawn(kind, 3, 1, none)
    fewer = spaces.drawn(kind, 3, 0, frozenset({"mu"}))
    assert fewer == {name: value for name, value in each[3].items() if name != "mu"}
    assert spaces.drawn(METHODS["promptfl"], 3, 0, none) == {"lr": each[3]["lr"]}


def mine(folder: Path, search: str) -> type[Method]:
    """A plug-in with one setting, `mu`, and its space."""
    config = f"class Config(Settings):\n        mu: float = pydantic.Field(0.5, ge=0{search})"
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(f"import pydantic\n{method_text(config=config)}")
    found = registry.methods([folder])
    assert not found.broken, found.broken
    return found.get("mine")


def test_a_plug_in_names_its_space_in_its_config_or_in_a_file_beside_it(tmp_path: Path) -> None:
    space = {"low": 0.1, "high": 1, "source": "a test"}
    inside = mine(tmp_path / "a", f", json_schema_extra={{'search': {space}}}")
    assert spaces.spaces_of(inside)["mu"].ends == (0.1, 1)
    beside = mine(tmp_path / "b", "")
    assert set(spaces.spaces_of(beside)) == {"lr"}
    (tmp_path / "b" / spaces.FILE).write_text(yaml.safe_dump({"mine": {"mu": space}}))
    assert spaces.spaces_of(beside)["mu"].ends == (0.1, 1)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"nu": {"values": [1, 2], "source": "x"}}, "mine.nu, but no such setting"),
        ({"mu": {"low": -1, "high": 1, "source": "x"}}, "holds -1.0, which the method refuses"),
        ({"mu": {"low": 2, "high": 1, "source": "x"}}, "low below high"),
        ({"mu": {"low": 0, "high": 1, "log": True, "source": "x"}}, "above 0 where log"),
        ({"mu": {"values": [1, 2]}}, "source: Field required"),
        ({"mu": {"values": [1], "source": "x"}}, "at least two values"),
        ("mu", "holds no spaces of mine"),
    ],
)
def test_what_is_no_space_is_refused_in_a_sentence(tmp_path: Path, wrong: object, why: str) -> None:
    kind = mine(tmp_path, "")
    (tmp_path / spaces.FILE).write_text(yaml.safe_dump({"mine": wrong}))
    with pytest.raises(UserError, match=why):
        spaces.spaces_of(kind)


def searched(store: Store, values: list[list[float | None]]) -> list[tune.Trial]:
    """Trials of one method, a list of its seeds' numbers each; None diverged."""
    trials = []
    for number, each in enumerate(values):
        jobs = []
        for seed, value in enumerate(each):
            training = {"rounds": 3, "lr": 0.1 + number}
            record = make_record("fedpgp", "digits", "personal", seed, training=training)
            if value is None:
                write_stopped(store, record)
            else:
                metrics = {"local": Metric(mean=value), "global": Metric(mean=90 - value)}
                write_done(store, record.model_copy(update={"metrics": metrics}))
            cell = cell_of(record)
            assert cell is not None
            jobs.append(Job(cell, record.id))
        trials.append(tune.Trial("fedpgp", number, {"lr": 0.1 + number} if number else {}, jobs))
    return trials


def test_the_best_mean_wins_and_of_two_the_earlier(tmp_path: Path) -> None:
    store = Store(tmp_path)
    trials = searched(store, [[50, 52], [60, 70], [99, None], [70, 60], [64, 64]])
    found = tune.choose(trials, store, 5, 0, [0, 1], None)
    best = found.methods["fedpgp"]
    assert (best.draw, best.found, best.defaults, best.diverged) == (1, 65, 51, 1)
    assert best.settings == {"lr": 1.1}
    assert "highest mean local" in found.rule
    assert "seeds 0 and 1" in found.rule
    assert tune.choose(trials, store, 5, 0, [0, 1], "global").methods["fedpgp"].draw == 0
    with pytest.raises(UserError, match="no metric cm"):
        tune.choose(trials, store, 5, 0, [0, 1], "cm")
    assert tune.read(tune.write(found, tmp_path)) == found


def test_nothing_is_chosen_while_a_cell_is_missing_or_failed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    trials = searched(store, [[50], [60]])
    gone = Job(trials[1].jobs[0].cell, "another")
    absent = [trials[0], tune.Trial("fedpgp", 1, {}, [gone])]
    with pytest.raises(UserError, match="1 of 2 cells have no numbers"):
        tune.choose(absent, store, 2, 0, [0], None)
    write_stopped(store, make_record("fedpgp", "digits", "personal", 7), "failed")
    failed = Job(trials[1].jobs[0].cell, make_record("fedpgp", "digits", "personal", 7).id)
    with pytest.raises(UserError, match="1 of 2 cells have no numbers"):
        tune.choose([trials[0], tune.Trial("fedpgp", 1, {}, [failed])], store, 2, 0, [0], None)


def test_a_method_whose_draws_all_diverged_is_left_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert tune.choose(searched(store, [[None], [None]]), store, 2, 0, [0], None).methods == {}


def test_a_run_takes_chosen_settings_and_refuses_what_would_spoil_them(tmp_path: Path) -> None:
    choice = tune.Choice(settings={"mu": 0.7, "lr": 0.02}, draw=3, found=1, defaults=1, diverged=0)
    file = tune.Tuned(
        rule="by a, b", budget=4, draw_seed=0, tune_seeds=(100,), methods={"fedpgp": choice}
    )
    plain = Request(methods=("fedpgp",), datasets=("digits",))
    sets = {"fedpgp.mu": 0.7, "fedpgp.lr": 0.02, "fedpgp.chosen_by": "by a, b"}
    assert tune.applied(plain, file, tmp_path).sets == sets
    for changed, why in [
        ({"seeds": (0, 100)}, "Seed 100 chose the settings"),
        ({"methods": ("fedpgp", "coop")}, "no settings of coop"),
        ({"sets": {"mu": 1}}, "mu of fedpgp is in"),
        ({"options": {"lr": 1}}, "lr of fedpgp is in"),
    ]:
        with pytest.raises(UserError, match=why):
            tune.applied(plain.model_copy(update=changed), file, tmp_path)


Run = Callable[..., tuple[int | str | None, str, str]]
SMALL = [
    *["--datasets", "digits", "--clients", "2", "--shots", "2", "--rounds", "1"],
    *["--local-epochs", "1", "--threads", "1"],
]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Run]:
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    yield lambda *words: call([*words], monkeypatch, capsys)
    torch.set_num_threads(1)


def test_from_a_search_to_a_table_with_tuned_rows(run: Run, tmp_path: Path) -> None:
    out, runs = tmp_path / "tune", tmp_path / "runs"
    search = ["tune", "--methods", "fedpgp", *SMALL, "--tune-seeds", "7"]
    code, said, err = run(*search, "--budget", "2", "--out", str(out))
    assert (code, err) == (0, "")
    assert "2 cells done" in said
    for record in Store(out).records():
        assert (record.seed, record.training["evaluate_on"]) == (7, "validation")
    code, said, _ = run(*search, "--budget", "3", "--out", str(out))
    assert "1 cell done, 2 were done before" in said
    file = out / tune.NAME
    assert set(tune.read(file).methods) == {"fedpgp"}

    # A draw that a test can know to be no default.
    content = yaml.safe_load(file.read_text())
    content["methods"]["fedpgp"]["settings"] = {"mu": 0.7, "lr": 0.02}
    file.write_text(yaml.safe_dump(content))
    assert run("run", "--methods", "fedpgp", *SMALL, "--out", str(runs))[0] == 0
    code, said, err = run("run", "--tuned", str(file), *SMALL, "--out", str(runs))
    assert (code, err) == (0, "")
    assert "1 cell done" in said
    (group,) = split(load_results(runs), {"fedpgp": "FedPGP"})
    assert group.rows == ["FedPGP", "FedPGP (tuned)"]
    assert run("tables", str(runs))[0] == 0
    text = (runs / "tables" / "tables.md").read_text()
    assert content["rule"] in text
    assert "lr 0.007, lr schedule cosine, 4 context tokens" in text  # of the rows that nobody tuned
    assert "FedPGP (tuned): mu 0.7, lr 0.02" in text

    tuned = [r for r in Store(runs).records() if r.training["chosen_by"]]
    for record in map(read_record, [runs / r.id for r in tuned]):
        again = [*command.command(record)[1:], "--out", str(runs), "--dry-run"]
        assert "1 cell: 0 to run" in run(*again)[1]


def test_a_search_that_all_diverges_leaves_an_earlier_choice_alone(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / tune.NAME).write_text("kept")
    search = ["tune", "--methods", "promptfl", *SMALL, "--tune-seeds", "7", "--budget", "2"]
    code, _, err = run(*search, "--lr", "1e38", "--out", str(tmp_path))
    assert code == 1
    assert "Nothing was written: every draw diverged" in err
    assert (tmp_path / tune.NAME).read_text() == "kept"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--lr", "0.1,0.2"], "lr has several values"),
        (["--scenario", "personal,iid"], "one scenario at a time"),
        (["--evaluate-on", "test"], "validation images alone"),
        (["--set", "promptfl.evaluate_on=test"], "validation images alone"),
        (["--tune-seeds", "x"], "whole numbers"),
        (["--metric", "local.ece"], "no cell of this search has such an accuracy"),
    ],
)
def test_what_is_no_search_is_refused(run: Run, tmp_path: Path, more: list[str], why: str) -> None:
    code, _, err = run("tune", "--methods", "promptfl", *SMALL, *more, "--out", str(tmp_path))
    assert code == 2
    assert why in err


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("methods: [coop]\ndatasets: [digits]\n", "rule: Field required"),
        ("", "the whole: Input should be a valid dictionary"),
        ("rule: [", "while parsing"),
    ],
)
def test_another_file_in_place_of_chosen_settings_is_one_sentence(
    tmp_path: Path, content: str, why: str
) -> None:
    (tmp_path / "grid.yaml").write_text(content)
    with pytest.raises(UserError, match="no file that `fplbench tune` wrote") as refused:
        tune.read(tmp_path / "grid.yaml")
    assert why in str(refused.value)
    assert "pydantic" not in str(refused.value)

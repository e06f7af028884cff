"""A number is decided by its seed and not by rounding: of a small cell, of the demo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from benches import workbench
from command_line import call
from few_digits import with_few_digits
from make_records import TITLES
from protocol_numbers import METHODS

from fplbench.cli.demo import GRID
from fplbench.features.stock import Workbench
from fplbench.grid import gridfile
from fplbench.grid.expand import expand
from fplbench.grid.journal import Journal
from fplbench.grid.runner import run_cell
from fplbench.records.results import load_results, read_cells
from fplbench.records.store import Store
from fplbench.report import reference, stability
from fplbench.spec import Request

# "range over such starts below 0.5 points in a seed's number, and below 0.2 in the mean over the
# demo's seeds, for every method and headline metric": what a project whose numbers come out again
# asks of itself.
OF_A_SEED, OF_THE_MEAN = 0.5, 0.2
SMALL = {
    "clients": 5, "shots": 4, "rounds": 3, "local_epochs": 1, "batch_size": 20, "evaluations": 1,
}  # fmt: skip
TRAINED = [name for name in METHODS.classes if name != "zeroshot"]
FEW_WORDS = {"n_ctx": 4}  # where a method has a context: most of a step is its words
FEW_IMAGES = {"clients": 2, "nudge": [0, 1]}  # where a test image goes through the tower each time


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return with_few_digits(workbench(tmp_path_factory.mktemp("cache"), "pooled", "patches"))


def ranges(bench: Workbench, method: str, **options: object) -> dict[str, float]:
    """Of each headline metric of a small cell of digits, over the start and two moved ones."""
    kind = METHODS.get(method)
    known = kind.Config.model_fields
    many = "pixels" in kind(kind.Config()).inputs
    request = Request(
        methods=(method,),
        datasets=("few_digits" if many else "digits",),
        options=SMALL | {"nudge": [0, 1, 2]} | (FEW_IMAGES if many else {}) | options,
        sets={key: value for key, value in FEW_WORDS.items() if key in known},
    )
    found: dict[str, list[float]] = {}
    for cell in expand(request, bench):
        with TemporaryDirectory() as root:
            journal = Journal(Path(root), "cell")
            record = run_cell(cell, bench, journal).record
        assert record.status == "done"
        for name in record.headline:
            if name in record.metrics:
                found.setdefault(name, []).append(record.metrics[name].mean)
    assert all(len(values) > 1 for values in found.values())
    return {name: float(np.ptp(values)) for name, values in found.items()}


@pytest.mark.parametrize("method", TRAINED)
def test_rounding_moves_no_number_of_a_small_cell(method: str, bench: Workbench) -> None:
    found = ranges(bench, method)
    assert found
    assert max(found.values()) < OF_A_SEED, found


def test_steps_that_are_far_too_large_make_rounding_decide(bench: Workbench) -> None:
    """So the test above can fail."""
    assert max(ranges(bench, "coop", lr=10.0, rounds=8).values()) > OF_A_SEED


@pytest.fixture
def as_before() -> Iterator[None]:
    """Commands set the number of threads of this process."""
    yield
    torch.set_num_threads(1)


def test_the_command_repeats_what_a_folder_holds_once(
    tmp_path: Path,
    as_before: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    store = tmp_path / "results"
    cells = "--methods zeroshot,promptfl --datasets digits --clients 3 --shots 4 --rounds 2"
    how = f"--set n_ctx=2 --device cpu --threads 1 --seeds 0,1 --out {store}"
    assert call(["run", *cells.split(), *how.split()], monkeypatch, capsys)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in store.glob("*/record.json")}
    command = ["stability", str(store), "--device", "cpu"]
    code, out, _ = call([*command, "--dry-run"], monkeypatch, capsys)
    assert (code, "4 cells: 4 to run" in out) == (0, True)
    code, out, err = call(command, monkeypatch, capsys)
    assert (code, err) == (0, "")
    assert "1 (as drawn), 1 (moved 1), 2 (moved 2)" in out
    assert "never tested" not in out
    assert len(before) == 4
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    found = Store(store).records()
    starts = {(r.seed, r.training["nudge"]): r for r in found if r.method == "promptfl"}
    assert {key: r.hardware["threads"] for key, r in starts.items()} == {
        (seed, nudge): threads for seed in (0, 1) for nudge, threads in enumerate((1, 1, 2))
    }
    prompts = {key: Store(store).prompts(r.id)["server.ctx"] for key, r in starts.items()}
    apart = (prompts[0, 0] - prompts[0, 1]).abs().max()
    assert 0 < apart < 1e-4
    kept = {path: path.stat().st_mtime_ns for path in store.glob("*/record.json")}
    again = call(command, monkeypatch, capsys)
    assert (again[0], again[1]) == (0, out[out.index("digits (") :])
    assert {path: path.stat().st_mtime_ns for path in store.glob("*/record.json")} == kept


def trained(methods: Sequence[str]) -> set[str]:
    """Those of the demo's methods that draw a start."""
    return set(methods) & set(TRAINED)


@pytest.mark.slow
def test_the_demos_numbers_are_decided_by_their_seeds(
    tmp_path: Path,
    as_before: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Three times the demo: as drawn, from a moved start, and from one on other threads."""
    demo = gridfile.read(GRID)
    assert call(["run", str(GRID), "--out", str(tmp_path)], monkeypatch, capsys)[0] == 0
    code, out, _ = call(["stability", str(tmp_path)], monkeypatch, capsys)
    assert code == 0
    with capsys.disabled():
        print(out)
    found, _ = read_cells(tmp_path)
    records = [record for _, record in found]
    every = list(stability.every(load_results(tmp_path), records, TITLES))
    spreads = [one for _, _, those in every for one in those]
    assert {len(one.seeds) for one in spreads} == {len(demo["seeds"])}
    tried = {group.methods[one.row] for group, _, those in every for one in those}
    assert tried == trained(demo["methods"])
    refuse_far(spreads)


def refuse_far(spreads: Sequence[stability.Spread]) -> None:
    """No mean over seeds may move by OF_THE_MEAN, and one seed's number in twenty by OF_A_SEED:
    training alone on a few images is not stable for every client, and CoOp has one such seed."""
    moved = [f"{one.dataset}, {one.row}, {one.metric}: {one.means:.2f}" for one in spreads
             if one.means >= OF_THE_MEAN]  # fmt: skip
    assert not moved, moved
    ranges = np.array([each for one in spreads for each in one.ranges])
    assert (ranges >= OF_A_SEED).mean() < 0.05, sorted(ranges)[-20:]


def test_the_committed_demo_was_decided_by_its_seeds() -> None:
    """What the README says of the moved starts in the reference."""
    found, _ = read_cells(reference.FILE)
    records = [record for _, record in found]
    every = list(stability.every(load_results(reference.FILE), records, TITLES))
    spreads = [one for _, _, those in every for one in those]
    tried = {group.methods[one.row] for group, _, those in every for one in those}
    assert tried == trained(gridfile.read(GRID)["methods"])
    assert {len(one.seeds) for one in spreads} == {len(gridfile.read(GRID)["seeds"])}
    refuse_far(spreads)

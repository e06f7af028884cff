"""The command line as a user meets it: real processes on a small real run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import fplbench
from fplbench.cli.app import main

SMALL = [
    "--datasets",
    "digits",
    "--clients",
    "3",
    "--shots",
    "4",
    "--rounds",
    "2",
    "--lr",
    "0.01",
    "--set",
    "n_ctx=2",
    "--device",
    "cpu",
]


def start(*arguments: str | Path, cache: Path) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FPLBENCH_")}
    return subprocess.Popen(
        [sys.executable, "-m", "fplbench", *map(str, arguments)],
        env=kept | {"FPLBENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def call(*arguments: str | Path, cache: Path, code: int = 0) -> tuple[str, str]:
    """stdout and stderr of a command that must end with this code."""
    process = start(*arguments, cache=cache)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, out + err
    return out, err


def run(out: Path, cache: Path, methods: str, *more: str, code: int = 0) -> tuple[str, str]:
    return call("run", "--methods", methods, *SMALL, "--out", out, *more, cache=cache, code=code)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """Three methods, two seeds."""
    folder = tmp_path_factory.mktemp("results")
    run(folder, cache, "zeroshot,coop,promptfl", "--seeds", "0,1")
    return folder


def records(folder: Path) -> Sequence[dict[str, object]]:
    return [json.loads(p.read_text()) for p in sorted(folder.glob("*/record.json"))]


def test_a_run_leaves_a_record_for_each_cell(results: Path) -> None:
    found = records(results)
    assert len(found) == 6
    assert {r["status"] for r in found} == {"done"}
    frame = fplbench.load_results(results)
    assert set(frame["method"]) == {"zeroshot", "coop", "promptfl"}
    assert frame[frame["metric"] == "local"]["value"].between(0, 100).all()


def test_a_record_knows_its_partition_and_its_memory(results: Path) -> None:
    for record in records(results):
        sizes = [sum(counts.values()) for counts in record["label_counts"]]
        assert sizes == record["train_sizes"]
        assert {"zero", "nine"} <= set().union(*record["label_counts"])
        assert record["peak_bytes"] is None or 50e6 < record["peak_bytes"] < 50e9


def test_a_second_run_does_nothing_and_says_so(results: Path, cache: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in results.rglob("*")}
    out, _ = run(results, cache, "zeroshot,coop,promptfl", "--seeds", "0,1")
    assert "Nothing to do" in out
    assert "PromptFL" in out
    assert {p: p.stat().st_mtime_ns for p in results.rglob("*")} == before


def test_the_screen_is_quiet_in_a_pipe(results: Path, cache: Path) -> None:
    _, err = run(results, cache, "zeroshot,coop,promptfl", "--seeds", "0,1")
    assert err == ""


def test_tables_and_plots_are_made_from_the_records(results: Path, cache: Path) -> None:
    out, _ = call("tables", results, cache=cache)
    written = [Path(line) for line in out.split()]
    assert {".tex", ".md", ".csv"} <= {p.suffix for p in written}
    assert all(p.stat().st_size for p in written)
    out, _ = call("plots", results, cache=cache)
    assert {Path(line).suffix for line in out.split()} == {".pdf", ".png", ".csv", ".md"}


def test_show_prints_one_record_or_a_folder(results: Path, cache: Path) -> None:
    out, _ = call("show", results, cache=cache)
    assert out.count("done") == 6
    out, _ = call("show", next(results.glob("promptfl*_s0_*")), cache=cache)
    assert "never sampled" in out
    assert "local" in out


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_goes_on_with_the_first_unfinished_cell(
    tmp_path: Path, cache: Path, results: Path, sent: signal.Signals
) -> None:
    """And ends with the numbers of the undisturbed run."""
    command = ["run", "--methods", "zeroshot,coop,promptfl", *SMALL, "--seeds", "0,1"]
    process = start(*command, "--out", tmp_path, cache=cache)
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("*/record.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(sent)
    process.communicate(timeout=60)
    assert process.returncode in {-signal.SIGKILL, 130, 0}
    finished = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/record.json")}
    run(tmp_path, cache, "zeroshot,coop,promptfl", "--seeds", "0,1")
    assert {p: p.stat().st_mtime_ns for p in finished} == finished
    ours = {r["id"]: r["metrics"] for r in records(tmp_path)}
    assert ours == {r["id"]: r["metrics"] for r in records(results)}


def test_a_diverged_cell_is_recorded_shown_and_tried_again(tmp_path: Path, cache: Path) -> None:
    wild = ["1e38" if word == "0.01" else word for word in SMALL]
    for _ in range(2):
        command = ["run", "--methods", "promptfl,zeroshot", *wild, "--out", tmp_path]
        out, err = call(*command, cache=cache, code=1)
        assert "diverged: promptfl on digits" in err
        assert "div" in out
    (bad,) = [r for r in records(tmp_path) if r["method"] == "promptfl"]
    assert bad["status"] == "diverged"
    assert bad["metrics"] == {}
    error = bad["error"]
    assert isinstance(error, dict)
    assert error["round"] == 1
    assert error["client"] in {0, 1, 2}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("run --methods promptfll --datasets digits", "did you mean 'promptfl'"),
        ("run --methods promptfl --datasets digits --seeds one", "--seeds one"),
        ("run --methods promptfl --datasets digits --set n_ctx", "KEY=VALUE"),
        ("run --methods promptfl --datasets digits --device cuda:7", "cuda:7"),
        ("run --methods promptfl --datasets digits --device tpu", "tpu"),
        ("run --methods , --datasets digits", "--methods is empty"),
        ("run --methods coop --methods promptfl --datasets digits", "--methods is given twice"),
        ("run --methods coop --datasets digits --rounds 1 --rounds=2", "--rounds is given twice"),
        ("data show digits --seed 1 --seed 1", "--seed is given twice"),
        ("run --methods promptfl --datasets digits --clients 0", "clients is 0"),
        ("run --methods promptfl --datasets digits --backbone tinny", "tinny"),
        ("show nowhere", "nowhere"),
        ("tables nowhere", "nowhere"),
        ("list methods --plugins nowhere", "nowhere"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: str,
    said: str,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = ["--out", str(tmp_path)] if arguments.startswith("run") else []
    monkeypatch.setenv("FPLBENCH_CACHE", str(cache))
    monkeypatch.setattr(sys, "argv", ["fplbench", *arguments.split(), *more])
    with pytest.raises(SystemExit) as ended:
        main()
    _, err = capsys.readouterr()
    assert ended.value.code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_mistake_in_a_process_of_its_own_shows_no_traceback(cache: Path) -> None:
    out, err = call("run", "--methods", "promptfll", "--datasets", "digits", cache=cache, code=2)
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("methods", "fedpgp"),
        ("datasets", "digits"),
        ("scenarios", "base2novel"),
        ("backbones", "ViT-B-16:openai"),
    ],
)
def test_list_names_what_there_is(
    kind: str, known: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fplbench", "list", kind])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert known in capsys.readouterr().out

"""Kept predictions: they change nothing, and a record's numbers come out of them again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from benches import workbench
from command_line import call
from few_digits import with_few_digits

import fplbench
from fplbench.errors import UserError
from fplbench.features.stock import Workbench
from fplbench.grid.answers import most_bytes
from fplbench.grid.expand import expand
from fplbench.grid.journal import Journal
from fplbench.grid.recording import Outcome
from fplbench.grid.runner import run_cell
from fplbench.grid.stop import Stop, Stopped
from fplbench.records.check import damage
from fplbench.records.predictions import PLACES, ROW, SHARES, read
from fplbench.records.results import DamagedRecordWarning
from fplbench.records.store import PREDICTIONS, Store
from fplbench.report.predictions import agreement, confusion, scores
from fplbench.spec import Cell, Request

SMALL = {"clients": 3, "shots": 2, "rounds": 2, "local_epochs": 1, "lr": 0.02, "evaluations": 2}
# Classes that a client chooses among (fewer than five), new clients, and held-out images.
WAYS = [
    ("promptfl", "base2novel", {}),
    ("fedotp", "personal", {"clients": 4, "new_clients": 0.5}),
    ("zeroshot", "base2novel", {}),
    ("tipadapter", "personal", {"evaluate_on": "validation"}),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return with_few_digits(workbench(tmp_path_factory.mktemp("cache"), "pooled", "patches"))


def cell_of(bench: Workbench, method: str, scenario: str, options: dict[str, object]) -> Cell:
    request = Request(
        methods=(method,),
        datasets=("few_digits",),
        scenarios=(scenario,),
        options=SMALL | options,
    )
    (cell,) = expand(request, bench)
    return cell


def outcome(
    bench: Workbench, cell: Cell, root: Path, keep: bool = True, stopped: bool = False
) -> Outcome:
    bench.place = replace(bench.place, keep_predictions=keep)
    stop = Stop()
    stop.asked = stopped
    return run_cell(cell, bench, Journal(root, "cell", stop=stop, every=1e9))


@pytest.mark.parametrize(("method", "scenario", "options"), WAYS)
def test_they_change_nothing_and_the_records_numbers_come_out_again(
    bench: Workbench, tmp_path: Path, method: str, scenario: str, options: dict[str, object]
) -> None:
    cell = cell_of(bench, method, scenario, options)
    plain, kept = (outcome(bench, cell, tmp_path / str(k), k) for k in (False, True))
    assert plain.predictions == b""
    for name in ("id", "settings", "training", "metrics", "measured", "not_applicable", "traffic"):
        assert getattr(plain.record, name) == getattr(kept.record, name), name
    histories = (each.history.drop(columns="seconds", errors="ignore") for each in (plain, kept))
    pd.testing.assert_frame_equal(*histories)
    assert all(torch.equal(plain.tensors[n], kept.tensors[n]) for n in kept.tensors)

    kept.keep(Store(tmp_path / "out"))
    table = fplbench.load_predictions(tmp_path / "out")
    of_record(kept, scores(table))
    assert len(table) * ROW <= most_bytes([cell], bench)
    data = bench.data("few_digits")
    part = data.train if options.get("evaluate_on") else data.test
    assert set(table["label"]) <= set(part.labels)
    if part is data.test:
        assert (table["label"].to_numpy() == part.labels[table["image"]]).all()
    shares = table[SHARES].to_numpy()
    assert (np.diff(shares, axis=1) <= 0).all()
    assert (shares.sum(1) < 1.002).all()
    assert ((table[PLACES].to_numpy() == -1) <= (shares == 0)).all()


def of_record(kept: Outcome, found: pd.DataFrame) -> None:
    """All accuracies and macro-F1s of single clients, and of the shared prompt alone."""
    record, names = kept.record, set()
    for question, each in found.groupby("question", observed=True):
        by_client = each.set_index("client")
        for column, measure in (("accuracy", "accuracy"), ("f1", "f1")):
            one = record.numbers(measure)[str(question)]
            if one.per_client is None:
                assert list(by_client.index) == [""]
                assert by_client[column].item() == pytest.approx(one.mean, abs=1e-9)
                continue
            whole = by_client[column].reindex(record.clients).to_numpy(dtype=float)
            wanted = np.array(one.per_client, dtype=float)
            np.testing.assert_allclose(whole, wanted, rtol=0, atol=1e-9)
        names.add(str(question))
    derived = {"hm", "hm_bn", "cm"}
    assert names == {name for name in record.metrics if name not in derived}


@pytest.mark.parametrize("method", ["promptfl", "zeroshot"])
def test_a_cell_that_goes_on_from_a_checkpoint_keeps_the_same_file(
    bench: Workbench, tmp_path: Path, method: str
) -> None:
    cell = cell_of(bench, method, "personal", {"rounds": 3, "evaluations": 3})
    whole = outcome(bench, cell, tmp_path / "whole")
    for _ in range(2):
        with pytest.raises(Stopped):
            outcome(bench, cell, tmp_path / "cut", stopped=True)
    resumed = outcome(bench, cell, tmp_path / "cut")
    assert "goes on after round 2" in resumed.log
    assert resumed.predictions == whole.predictions != b""
    assert resumed.record.metrics == whole.record.metrics


def test_an_answer_takes_what_the_docs_say(bench: Workbench, tmp_path: Path) -> None:
    cell = cell_of(bench, "zeroshot", "personal", {})
    outcome(bench, cell, tmp_path).keep(Store(tmp_path / "out"))
    predicted, names = read(next((tmp_path / "out").glob("zeroshot*")))
    columns = [value for value in vars(predicted).values() if isinstance(value, np.ndarray)]
    assert sum(column.nbytes for column in columns) == ROW * len(predicted.image)
    assert names == tuple(bench.data("few_digits").classnames)
    # A method that supports every question: the dry run's figure is what there is.
    assert ROW * len(predicted.image) == most_bytes([cell], bench)
    page = (Path(__file__).parents[2] / "docs" / "running-grids.md").read_text()
    assert f"{ROW} bytes an answer before compression" in page


def test_agreement_and_confusion_are_those_of_a_plain_count(
    bench: Workbench, tmp_path: Path
) -> None:
    store = Store(tmp_path / "out")
    for method in ("zeroshot", "coop"):
        cell = cell_of(bench, method, "personal", {"lr": 0.1})
        outcome(bench, cell, tmp_path / method).keep(store)
    table = fplbench.load_predictions(store.root)
    one, other = (table[table["method"] == method] for method in ("zeroshot", "coop"))
    assert set(agreement(one, one)["agreement"]) == {100.0}
    found = agreement(one, other).set_index("question").loc["local"]
    mine, theirs = (
        each[each["question"] == "local"].reset_index(drop=True) for each in (one, other)
    )
    assert 0 < found["agreement"] < 100
    assert found["agreement"] == pytest.approx(100 * (mine["top1"] == theirs["top1"]).mean())
    parts = ["both_right", "only_first_right", "only_second_right", "both_wrong"]
    assert found[parts].sum() == pytest.approx(100)
    with pytest.raises(UserError, match="not asked about the same images"):
        agreement(one, other.iloc[1:])
    with pytest.raises(UserError, match="Several cells of one side"):
        agreement(table, other)

    counted = confusion(other)
    counted = counted[counted["question"] == "local"]
    assert counted["images"].sum() == len(theirs)
    for _, row in counted.iterrows():
        same = theirs[["client", "label", "top1"]] == [row["client"], row["label"], row["answer"]]
        assert row["images"] == same.all(axis=1).sum()
    names = bench.data("few_digits").classnames
    assert list(counted["label_name"]) == [names[label] for label in counted["label"]]


def test_a_torn_file_is_named_and_the_other_cells_are_read(
    bench: Workbench, tmp_path: Path
) -> None:
    store = Store(tmp_path / "out")
    for method in ("zeroshot", "coop"):
        cell = cell_of(bench, method, "personal", {"rounds": 1, "evaluations": 1})
        done = outcome(bench, cell, tmp_path / method)
        done.keep(store)
    folder = store.root / done.record.id
    assert list(damage(folder)) == []
    data = bytearray((folder / PREDICTIONS).read_bytes())
    data[-1] ^= 1
    (folder / PREDICTIONS).write_bytes(data)
    assert [PREDICTIONS in line for line in damage(folder)] == [True]
    with pytest.warns(DamagedRecordWarning, match=PREDICTIONS):
        table = fplbench.load_predictions(store.root)
    assert set(table["method"]) == {"zeroshot"}
    assert len(table.attrs["problems"]) == 1


def test_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    out = str(tmp_path / "out")
    what = ["--datasets", "digits", "--clients", "3", "--shots", "1", "--rounds", "1"]
    plain = ["run", "--methods", "zeroshot,coop", *what, "--local-epochs", "1", "--out", out]
    keep = [*plain, "--keep-predictions"]
    code, printed, _ = call([*keep, "--dry-run"], monkeypatch, capsys)
    assert (code, "Their predictions take at most" in printed) == (0, True)
    assert call(keep, monkeypatch, capsys)[0] == 0
    code, _, said = call(keep, monkeypatch, capsys)
    assert (code, "without predictions" in said) == (0, False)

    code, printed, _ = call(
        ["predictions", out, "--confusion", "--agreement", "-o", str(tmp_path / "made")],
        monkeypatch,
        capsys,
    )
    assert code == 0
    assert printed.split() == [
        str(tmp_path / "made" / f"{n}.csv") for n in ("confusion", "agreement")
    ]
    pair = pd.read_csv(tmp_path / "made" / "agreement.csv")
    assert set(pair["first"]) | set(pair["second"]) == set(fplbench.load_results(out)["title"])
    counted = pd.read_csv(tmp_path / "made" / "confusion.csv", keep_default_na=False)
    assert counted["images"].sum() == len(fplbench.load_predictions(out))
    code, _, said = call(["predictions", out], monkeypatch, capsys)
    assert (code, "Say what to make" in said) == (2, True)

    pack = str(tmp_path / "all.jsonl")
    assert call(["pack", out, "-o", pack], monkeypatch, capsys)[0] == 0
    code, _, said = call(["predictions", pack, "--confusion", "-o", out], monkeypatch, capsys)
    assert (code, "has predictions" in said) == (2, True)

    bare = [*plain[:-1], str(tmp_path / "bare")]
    assert call(bare, monkeypatch, capsys)[0] == 0
    code, _, said = call([*bare, "--keep-predictions"], monkeypatch, capsys)
    assert (code, "2 cells are done without predictions" in said) == (0, True)

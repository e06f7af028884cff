"""The tidy tables: one row for each thing, nothing dropped, nothing counted twice."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from make_records import make_record, write_done, write_stopped

import fplbench
from fplbench.errors import UserError
from fplbench.records.results import DamagedRecordWarning, load_clients, load_history, load_results
from fplbench.records.store import RECORD, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results" / "demo")


def test_a_row_is_a_cell_and_metric(store: Store) -> None:
    records = [make_record(seed=seed) for seed in range(2)]
    for record in records:
        write_done(store, record)
    table = fplbench.load_results(store.root.parent)

    assert len(table) == sum(len(record.metrics) for record in records)
    row = table[(table["id"] == records[1].id) & (table["metric"] == "novel")].iloc[0]
    assert row["value"] == records[1].metrics["novel"].mean
    assert row["worst_client"] == records[1].metrics["novel"].worst
    assert (row["set.n_ctx"], row["scen.shots"], row["train.lr"]) == (16, 16, 0.001)
    assert isinstance(row["set.n_ctx"], int)
    assert row["path"] == str(store.root / records[1].id)


def test_a_stopped_cell_is_one_row_with_its_reason(store: Store) -> None:
    write_done(store, make_record("zeroshot"))
    write_stopped(store, make_record("fedpgp"))
    table = load_results(store.root)
    (row,) = [row for _, row in table[table["status"] == "diverged"].iterrows()]
    assert row["metric"] is None or row["metric"] != row["metric"]
    assert row["value"] != row["value"]
    assert row["reason"] == "the loss is not finite (round 3, client 4)"


def test_a_metric_that_means_nothing_is_a_row_with_its_reason(store: Store) -> None:
    write_done(store, make_record(metrics={}, not_applicable={"novel": "no vector for it"}))
    (row,) = [row for _, row in load_results(store.root).iterrows()]
    assert (row["metric"], row["reason"]) == ("novel", "no vector for it")
    assert row["value"] != row["value"]


def test_a_cell_in_two_stores_counts_once_and_done_wins(tmp_path: Path) -> None:
    record = make_record()
    write_stopped(Store(tmp_path / "a"), record)
    write_done(Store(tmp_path / "b"), record)
    shutil.copytree(tmp_path / "b", tmp_path / "c")
    assert set(load_results(tmp_path)["status"]) == {"done"}
    assert len(load_results(tmp_path)) == len(record.metrics)
    assert len(load_history(tmp_path)) == 10


def test_unfinished_and_replaced_cells_are_not_read(store: Store) -> None:
    folder = write_done(store, make_record())
    for hidden in (".partial", ".replaced"):
        shutil.copytree(folder, store.root / hidden / "other")
    assert set(load_results(store.root)["id"]) == {folder.name}


def test_a_damaged_cell_is_named_and_the_others_are_there(store: Store) -> None:
    torn = write_done(store, make_record(seed=0))
    write_done(store, make_record(seed=1))
    (torn / RECORD).write_text("{")
    with pytest.warns(DamagedRecordWarning, match=torn.name):
        table = load_results(store.root)
    assert set(table["seed"]) == {1}
    assert torn.name in table.attrs["problems"][0]


def test_history_and_clients_carry_the_cell(store: Store) -> None:
    record = make_record()
    write_done(store, record)
    history, clients = load_history(store.root), load_clients(store.root)
    assert list(history["round"]) == list(range(1, 11))
    assert history["local"].notna().sum() == 5
    assert history["local"].iloc[-1] == pytest.approx(record.metrics["local"].mean)
    local = clients[clients["metric"] == "local"]
    assert list(local["client"]) == record.clients
    assert list(local["value"]) == pytest.approx(record.metrics["local"].per_client)
    assert set(local["train_size"]) == {80}


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        load_results(tmp_path / "nowhere")
    assert load_results(tmp_path).empty


def test_reading_results_needs_no_torch() -> None:
    rooms = "fplbench, fplbench.records.results, fplbench.report.predictions"
    code = f"import sys, {rooms}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_setting_from_before_it_was_there_is_off(store: Store) -> None:
    """Or a store of old and new records would fall apart into two settings."""
    for seed, later in enumerate([{}, {"new_clients": 0.0, "new_client_epochs": 2}]):
        record = make_record(seed=seed)
        training = {n: v for n, v in record.training.items() if not n.startswith("new_client")}
        write_done(store, record.model_copy(update={"training": training | later}))
    table = load_results(store.root)
    assert table["id"].nunique() == 2
    for name in ("train.new_clients", "train.new_client_epochs"):
        assert table[name].nunique(dropna=False) == 1

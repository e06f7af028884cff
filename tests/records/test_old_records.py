"""A record of each earlier schema, as it was written then, stays readable."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from command_line import call
from make_records import make_record

from fplbench.errors import UserError
from fplbench.records import starts
from fplbench.records.check import damage
from fplbench.records.old import completed
from fplbench.records.record import About, Metric
from fplbench.records.results import load_results
from fplbench.records.store import Store
from fplbench.report import reference

GOLDEN = Path(__file__).parents[1] / "golden"
OLD = sorted(GOLDEN.glob("record_schema_*"))


@pytest.mark.parametrize("folder", OLD, ids=lambda folder: folder.name)
def test_a_record_of_an_earlier_schema_is_read_whole(folder: Path) -> None:
    (record,) = Store(folder).records()
    assert record.schema_version == int(folder.name.rpartition("_")[2])
    assert (record.protocol == 1) == (record.schema_version == 1) == (record.code == {})
    assert list(damage(folder / record.id)) == []
    table = load_results(folder)
    assert set(table["metric"]) == {*record.metrics, *record.not_applicable}
    assert set(table["ident.protocol"]) == {record.protocol}


@pytest.mark.parametrize("folder", OLD, ids=lambda folder: folder.name)
def test_tables_of_an_old_record_name_its_protocol(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, _ = call(["tables", str(folder), "--out", str(tmp_path)], monkeypatch, capsys)
    assert code == 0
    (record,) = Store(folder).records()
    assert f"protocol {record.protocol};" in (tmp_path / "tables.md").read_text()


def test_a_table_of_records_that_do_not_say_what_things_are_called_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = GOLDEN / "record_schema_2"
    code, _, _ = call(["tables", str(old), "--out", str(tmp_path)], monkeypatch, capsys)
    text = (tmp_path / "tables.md").read_text()
    assert code == 0
    assert "base2novel: 5 clients with classes of their own, 2 shots; backbone tiny" in text
    assert "| Method | Local | Base | Novel | HM | CM |" in text
    assert "HM: harmonic mean of Local, Base and Novel." in text
    assert "Own: as Local, but only the client's own classes can be answered" in text


def test_a_record_is_told_by_its_own_words_and_not_by_those_of_its_scenario_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"local": About(title="At home", meaning="where it was")}
    record = make_record(scenario="personal").model_copy(
        update={"headline": ["local"], "words": "dealt by hand", "about": words}
    )
    Store(tmp_path / "r").write(record, pd.DataFrame(), {})
    out = ["--out", str(tmp_path / "t")]
    code, _, _ = call(["tables", str(tmp_path / "r"), *out], monkeypatch, capsys)
    text = (tmp_path / "t" / "tables.md").read_text()
    assert code == 0
    assert "personal: dealt by hand; backbone tiny" in text
    assert "At home: where it was." in text


# Schema 5 has measures of its own.
BEFORE = [folder for folder in OLD if folder.name != "record_schema_5"]


@pytest.mark.parametrize("folder", BEFORE, ids=lambda folder: folder.name)
def test_the_worst_client_of_an_old_record_is_known_and_no_other_measure(folder: Path) -> None:
    (record,) = Store(folder).records()
    each = [value for value in record.metrics["local"].per_client or () if value is not None]
    worst = load_results(folder, measure="worst").set_index("metric")["value"]
    assert worst["local"] == min(each)
    assert "global" not in worst
    with pytest.raises(UserError, match="No record here has the measure ece"):
        load_results(folder, measure="ece")


def test_a_record_from_before_an_option_is_of_the_same_cell_as_one_of_today() -> None:
    """While the option is off, no id tells of it, so the reference's twins must be found by it."""
    now = make_record("promptfl")
    options = {"new_clients": 0.0, "new_client_epochs": 2, "evaluated_clients": 0, "chosen_by": ""}
    shared = {"cells": 1, "rounds": 15}
    before, after, other = (
        completed(now.model_copy(update={"training": {**shared, **more}}))
        for more in ({}, options, options | {"evaluated_clients": 3})
    )
    for told in (reference._cell, reference._place, starts._cell):
        assert told(before) == told(after) != told(other)


def test_the_worst_client_of_an_old_record_is_that_of_the_worst_domain() -> None:
    metrics = {
        "domain/a": Metric(mean=50, worst=10, per_client=[10.0, 90.0]),
        "domain/b": Metric(mean=80, worst=70, per_client=[70.0, 90.0]),
        "domains": Metric(mean=65),
    }
    old = make_record("coop", "shapes_domains", "domains", metrics=metrics)
    found = completed(old.model_copy(update={"schema_version": 4}))
    assert found.measured["worst"]["domains"].mean == 10

"""A record of each earlier schema, as it was written then, stays readable."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import call

from fplbench.records.check import damage
from fplbench.records.results import load_results
from fplbench.records.store import Store

GOLDEN = Path(__file__).parents[1] / "golden"
OLD = sorted(GOLDEN.glob("record_schema_*"))


@pytest.mark.parametrize("folder", OLD, ids=lambda folder: folder.name)
def test_a_record_of_an_earlier_schema_is_read_whole(folder: Path) -> None:
    (record,) = Store(folder).records()
    assert record.schema_version == int(folder.name.rpartition("_")[2])
    assert (record.protocol, record.code) == (1, {})
    assert list(damage(folder / record.id)) == []
    table = load_results(folder)
    assert set(table["metric"]) == {*record.metrics, *record.not_applicable}
    assert set(table["ident.protocol"]) == {1}


@pytest.mark.parametrize("folder", OLD, ids=lambda folder: folder.name)
def test_tables_of_an_old_record_name_its_protocol(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, _ = call(["tables", str(folder), "--out", str(tmp_path)], monkeypatch, capsys)
    assert code == 0
    assert "protocol 1;" in (tmp_path / "tables.md").read_text()

"""Fields dropped, added and retyped in a record, bytes changed in its files: whatever lies in a
folder, the other records are read and no error leaves but our own."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from fuzz import for_minutes, for_seconds
from hypothesis import strategies as st
from make_records import TITLES, make_record, write_done

from fplbench.errors import UserError
from fplbench.records import packed
from fplbench.records.check import damage
from fplbench.records.record import Record
from fplbench.records.results import history_of, read_cells, results_of
from fplbench.records.store import HISTORY, RECORD, SUMS, Store
from fplbench.report.tables import write_tables

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.one_of(st.integers(), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.sampled_from([1, 2, 3, 4, "\ud800", "1e999", [[]], {"": {}}]),
).map(copy.deepcopy)  # the next change may go inside


@functools.cache
def samples() -> list[dict[str, Any]]:
    """Records of several kinds as JSON, one of them of an old schema."""
    made = [
        make_record(),
        make_record("zeroshot"),
        make_record(dataset="shapes_domains", scenario="domains"),
        make_record(scenario="personal").model_copy(update={"status": "failed", "metrics": {}}),
    ]
    found = [json.loads(record.to_json()) for record in made]
    old = {k: v for k, v in found[0].items() if k not in ("headline", "trade_off", "words")}
    return [*found, old | {"schema": 1}]


@st.composite
def changed(draw: st.DrawFn) -> dict[str, Any]:
    """A record with some fields, at any depth, dropped, added or of another type."""
    record = copy.deepcopy(draw(st.sampled_from(samples())))
    for _ in range(draw(st.integers(1, 3))):
        where: Any = record
        while isinstance(where, dict | list) and where:
            keys = list(where) if isinstance(where, dict) else list(range(len(where)))
            key = draw(st.sampled_from(keys))
            if isinstance(where[key], dict | list) and where[key] and draw(st.booleans()):
                where = where[key]
                continue
            how = draw(st.sampled_from(["drop", "retype", "add"]))
            if how == "drop":
                del where[key]
            elif how == "retype" or isinstance(where, list):
                where[key] = draw(VALUES)
            else:
                where[draw(st.text(max_size=4))] = draw(VALUES)
            break
    return record


def put(folder: Path, files: dict[str, bytes], sums: bytes | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()]
    (folder / SUMS).write_bytes("".join(lines).encode() if sums is None else sums)


def read_all(root: Path) -> None:
    """What tables, plots, check and show read; the sound record is among it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, problems = read_cells(root)
        assert any(record.id == "sound" for _, record in found)
        history_of(found, problems)
        table = results_of(found, problems)
        with contextlib.suppress(UserError):
            write_tables(table, root / "tables", TITLES)
    for folder in root.iterdir():
        if (folder / SUMS).exists():
            list(damage(folder))
            Store(root).status(folder.name)
    if isinstance(Store(root).find("sound"), Record):
        whole = [record for _, record in found]
        packed.write(whole, root / "all.jsonl")
        assert sum(isinstance(each, Record) for each in packed.read(root / "all.jsonl")) == len(
            whole
        )
        (root / "all.jsonl").unlink()


def check_fields(root: Path, fields: dict[str, Any]) -> None:
    text = json.dumps(fields).encode()
    put(root / "other", {RECORD: text, HISTORY: b"round,loss\n1,0.5\n"})
    read_all(root)


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, bytes, bytes | None]:
    """record.json, history.csv and perhaps SHA256SUMS with bytes changed."""
    parts = [json.dumps(samples()[0]).encode(), b"round,loss,local\n1,0.5,50\n2,0.4,60\n"]
    parts.append(f"{'0' * 64}  {RECORD}\n".encode())
    for place in draw(st.lists(st.integers(0, 2), min_size=1, max_size=3)):
        content = bytearray(parts[place])
        at = draw(st.integers(0, max(0, len(content) - 1)))
        content[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
        parts[place] = bytes(content)
    return parts[0], parts[1], draw(st.sampled_from([None, parts[2]]))


def check_bytes(root: Path, example: tuple[bytes, bytes, bytes | None]) -> None:
    record, history, sums = example
    put(root / "other", {RECORD: record, HISTORY: history}, sums)
    read_all(root)


def check_line(root: Path, fields: dict[str, Any]) -> None:
    """A packed file whose cell, or whose head, has been changed."""
    path = root / "packed.jsonl"
    packed.write([make_record(id="sound")], path)
    head, line = path.read_text(encoding="utf-8").splitlines()
    for text in (f"{head}\n{json.dumps(fields)}\n", f"{json.dumps(fields)}\n{line}\n"):
        path.write_text('{"packed":' + text.removeprefix('{"packed":'), encoding="utf-8")
        packed.read(path)
    path.unlink()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_done(Store(tmp_path / "r"), make_record(id="sound"))
    return tmp_path / "r"


CHECKS = [(changed(), check_fields), (files(), check_bytes), (changed(), check_line)]
NAMES = ["fields", "bytes", "packed"]


@pytest.mark.parametrize(("strategy", "check"), CHECKS, ids=NAMES)
def test_the_other_records_are_read(root: Path, strategy: Any, check: Any) -> None:
    for_seconds(strategy, functools.partial(check, root), examples=25)


@pytest.mark.slow
def test_the_other_records_are_read_for_long(root: Path) -> None:
    both = st.one_of(*(st.tuples(st.just(check), strategy) for strategy, check in CHECKS))
    assert for_minutes(both, lambda each: each[0](root, each[1])) > 0

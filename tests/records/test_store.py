"""What the store shows is whole; what is not whole is named."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from make_records import make_history, make_record, write_done, write_stopped
from pydantic import ValidationError

from fplbench.errors import UserError
from fplbench.grid.jobs import Job
from fplbench.records.check import damage
from fplbench.records.record import Metric, Record
from fplbench.records.store import (
    HISTORY,
    PROMPTS,
    RECORD,
    SUMS,
    DamagedRecord,
    ForeignRecord,
    Store,
)

TENSORS = {"ctx": torch.arange(6.0).reshape(2, 3), "server": torch.ones(1, 3).expand(4, 3)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_a_cell_comes_back_as_it_was_written(store: Store) -> None:
    record = make_record()
    history = make_history(record)
    folder = store.write(record, history, TENSORS)

    assert folder == store.root / record.id
    assert store.find(record.id) == record
    pd.testing.assert_frame_equal(store.history(record.id), history, rtol=1e-14)
    prompts = store.prompts(record.id)
    assert prompts.keys() == TENSORS.keys()
    assert all(torch.equal(prompts[name], TENSORS[name]) for name in TENSORS)


def test_a_cell_without_rounds_and_tensors_can_be_written(store: Store) -> None:
    record = make_record("zeroshot")
    store.write(record, pd.DataFrame(), {})
    assert store.history(record.id).empty
    assert store.prompts(record.id) == {}
    assert not (store.root / record.id / PROMPTS).exists()


def test_an_empty_or_absent_store_has_no_records(store: Store) -> None:
    assert store.records() == []
    assert store.find("never-run") is None
    assert store.status("never-run") == "absent"


def test_checksums_are_those_of_sha256sum(store: Store) -> None:
    folder = write_done(store, make_record())
    lines = (folder / SUMS).read_text().splitlines()
    assert sorted(line.split("  ")[1] for line in lines) == sorted([RECORD, HISTORY, PROMPTS])
    for line in lines:
        digest, name = line.split("  ")
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_stopped_cell_is_replaced_and_a_done_one_is_not(store: Store, status: str) -> None:
    record = make_record()
    write_stopped(store, record, status)
    assert store.status(record.id) == status
    assert store.find(record.id).error.round == 3

    write_done(store, record)
    assert store.status(record.id) == "done"

    write_stopped(store, record, status)
    assert store.find(record.id) == record
    assert not list(store.root.glob(".replaced/*"))
    assert not list(store.root.glob(".partial/*"))


def test_what_a_killed_run_left_is_neither_shown_nor_in_the_way(store: Store) -> None:
    record = make_record()
    aside = store.root / ".partial" / record.id
    aside.mkdir(parents=True)
    (aside / RECORD).write_text(record.to_json())
    (aside / "stray").write_text("x")
    assert store.records() == []
    assert store.status(record.id) == "absent"

    folder = write_done(store, record)
    assert not (folder / "stray").exists()
    assert store.records() == [record]


def test_a_run_killed_between_the_two_renames_loses_nothing(store: Store) -> None:
    record = make_record()
    write_stopped(store, record)
    store._write_aside(record.id, files_of(store, record))
    (store.root / ".replaced").mkdir(exist_ok=True)
    os.rename(store.root / record.id, store.root / ".replaced" / record.id)

    assert store.find(record.id) == record
    assert not list(store.root.glob(".replaced/*"))


def files_of(store: Store, record: Record) -> dict[str, bytes]:
    """The files that a write of the record makes, taken from a store beside it."""
    folder = write_done(Store(store.root.parent / "beside"), record)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", [RECORD, SUMS])
@pytest.mark.parametrize("kept", [0, 1, 60])
def test_a_truncated_file_is_named_and_the_others_still_show(
    store: Store, name: str, kept: int
) -> None:
    torn, whole = make_record(seed=0), make_record(seed=1)
    folder = write_done(store, torn)
    write_done(store, whole)
    (folder / name).write_bytes((folder / name).read_bytes()[:kept])

    records, problems = store.scan()
    assert records == [whole]
    assert [problem.path for problem in problems] == [folder]
    assert str(folder / RECORD) in problems[0].message
    assert store.status(torn.id) == "damaged"
    with pytest.raises(UserError, match="delete the folder"):
        store.find(torn.id)


@pytest.mark.parametrize("name", [RECORD, HISTORY, PROMPTS])
def test_a_flipped_byte_is_noticed(store: Store, name: str) -> None:
    record = make_record()
    path = write_done(store, record) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))

    read = {RECORD: store.find, HISTORY: store.history, PROMPTS: store.prompts}[name]
    with pytest.raises(DamagedRecord, match=name):
        read(record.id)


@pytest.mark.parametrize("name", [RECORD, SUMS, HISTORY])
def test_a_missing_file_is_named(store: Store, name: str) -> None:
    record = make_record()
    path = write_done(store, record) / name
    path.unlink()
    with pytest.raises(DamagedRecord, match=name):
        (store.history if name == HISTORY else store.find)(record.id)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "schema is None"),
        ("[]", "schema is None"),
        ('{"schema": 99}', "schema is 99, .* a newer one reads it"),
        ('{"schema": 1}', "id: Field required"),
        ("no json", "no JSON"),
        ("[" * 100_000, "too deep"),
    ],
)
def test_a_whole_record_of_another_make_is_kept(store: Store, text: str, reason: str) -> None:
    record = make_record()
    folder = write_done(store, record)
    rewritten(folder, text)
    with pytest.raises(ForeignRecord, match=reason) as caught:
        store.find(record.id)
    assert "delete" not in str(caught.value)
    assert "upgrade; keep it" in str(caught.value)
    assert store.status(record.id) == "foreign"
    assert [line for line in damage(folder) if "delete" in line] == []
    with pytest.raises(ForeignRecord):
        write_done(store, record)
    assert (folder / RECORD).read_text() == text


def rewritten(folder: Path, text: str) -> None:
    """Another record with its checksum, as another version would write it."""
    (folder / RECORD).write_text(text)
    sums = (folder / SUMS).read_text().splitlines()
    digest = hashlib.sha256(text.encode()).hexdigest()
    lines = [line for line in sums if not line.endswith(RECORD)]
    (folder / SUMS).write_text("".join(f"{line}\n" for line in [f"{digest}  {RECORD}", *lines]))


def test_a_cell_of_another_version_is_not_computed_over(store: Store) -> None:
    record = make_record()
    fields = json.loads(record.to_json()) | {"schema": 99}
    rewritten(write_done(store, record), json.dumps(fields))
    assert Job(cell=None, id=record.id).settled(store)  # type: ignore[arg-type]


@pytest.mark.parametrize("also_sums", [True, False])
def test_line_ends_that_git_changed_are_no_damage(store: Store, also_sums: bool) -> None:
    record = make_record()
    folder = store.write(record, make_history(record), {}, log="a line\nanother\n")
    for path in folder.iterdir():
        if also_sums or path.name != SUMS:
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert store.find(record.id) == record
    assert len(store.history(record.id)) == 10
    assert list(damage(folder)) == []


def test_line_ends_that_were_windows_own_are_known_too(store: Store) -> None:
    record = make_record()
    folder = write_done(store, record)
    windows = (folder / RECORD).read_bytes().replace(b"\n", b"\r\n")
    rewritten(folder, windows.decode())
    (folder / RECORD).write_bytes(windows.replace(b"\r\n", b"\n"))
    sums = (folder / SUMS).read_text().splitlines()
    digest = hashlib.sha256(windows).hexdigest()
    (folder / SUMS).write_text("\n".join([f"{digest}  {RECORD}", *sums[1:]]))
    assert store.find(record.id) == record


def test_a_name_out_of_the_folder_is_no_file_of_it(store: Store) -> None:
    folder = write_done(store, make_record())
    with (folder / SUMS).open("a") as sums:
        sums.write(f"{'0' * 64}  ../../secret\n{'0' * 64}  a\0b\n{'0' * 64}\n")
    assert all("names no file" in line for line in damage(folder))
    assert list(damage(folder))


def test_a_damaged_cell_can_be_run_again(store: Store) -> None:
    record = make_record()
    (write_done(store, record) / RECORD).write_text("{")
    write_done(store, record)
    assert store.find(record.id) == record


def test_a_number_that_is_not_finite_is_no_metric() -> None:
    with pytest.raises(ValidationError, match="finite"):
        Metric(mean=float("nan"))


def test_an_id_cannot_leave_the_store(store: Store) -> None:
    for cell_id in ("../outside", ".partial", "", "a/b"):
        with pytest.raises(ValueError, match="not a cell's id"):
            store.find(cell_id)


def test_a_store_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write the record of .* again"):
        write_done(Store(tmp_path / "file" / "results"), make_record())


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from make_records import make_history, make_record, write_stopped
from fplbench.records.store import Store
store, first = Store(Path(sys.argv[2])), int(sys.argv[3])
for seed in range(first, first + 1000):
    record = make_record(seed=seed)
    write_stopped(store, record)
    store.write(record, make_history(record), {})
    print(seed, flush=True)
"""


def test_killed_while_writing_every_folder_is_whole(store: Store) -> None:
    """kill -9 at different moments of a loop of writes; the next process reads all of it."""
    written = 0
    for turn in range(5):
        arguments = [str(Path(__file__).parents[1] / "support"), str(store.root), str(1000 * turn)]
        command = [sys.executable, "-c", WRITER, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            time.sleep(0.03 + 0.0117 * turn)
            process.kill()
            written += 1 + len(process.stdout.readlines())
        check_whole(store, written)


def check_whole(store: Store, at_least: int) -> None:
    records, problems = store.scan()
    assert problems == []
    assert len(records) >= at_least
    for record in records:
        store.history(record.id)
        store.prompts(record.id)
    for path in store.root.glob(".replaced/*"):
        assert store.find(path.name) is not None


@pytest.mark.parametrize("litter", ["@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found"])
def test_what_a_nas_keeps_of_deleted_records_is_no_result(store: Store, litter: str) -> None:
    kept, deleted = make_record(seed=0), make_record(seed=1)
    write_done(store, kept)
    write_done(Store(store.root / litter), deleted)
    write_done(Store(store.root / "more" / litter), deleted)
    assert store.records() == [kept]

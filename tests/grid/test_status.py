"""What `status` and `check` say of a store, without touching it."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from make_records import make_record, write_done, write_stopped
from rich.console import Console

from fplbench.errors import UserError
from fplbench.grid import check, phases, plan, status
from fplbench.grid.claims import Claims
from fplbench.grid.plan import Planned
from fplbench.records.record import Record
from fplbench.records.store import HISTORY, LOG, WORK, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


CLAIM_AND_DIE = """
import sys
from pathlib import Path
from fplbench.grid.claims import Claims
Claims(Path(sys.argv[1])).take(sys.argv[2])
"""


def planned(record: Record) -> Planned:
    return Planned(
        record.id,
        f"{record.method}, seed {record.seed}",
        record.method,
        record.dataset,
        record.scenario,
        record.backbone,
        10,
    )


def said(shown: object, *arguments: object) -> tuple[str, int]:
    text = io.StringIO()
    console = Console(file=text, width=300)
    code = shown(*arguments, console)  # type: ignore[operator]
    return text.getvalue(), code


def test_status_tells_every_state(store: Store) -> None:
    cells = [make_record(seed=seed) for seed in range(6)]
    plan.remember(store.root, [planned(cell) for cell in cells], {})
    write_done(store, cells[0])
    write_stopped(store, cells[1], "failed")
    (write_done(store, cells[2]) / "record.json").write_text("{")
    held = Claims(store.root).take(cells[3].id)
    assert held is not None
    work = store.root / WORK / cells[3].id
    work.mkdir(parents=True)
    (work / LOG).write_text("12:00  round 1/10  loss 2\n12:01  round 2/10  loss 1\n")
    arguments = [str(store.root), cells[4].id]
    subprocess.run([sys.executable, "-c", CLAIM_AND_DIE, *arguments], check=True)

    text, ended = said(status.show, store.root, None)
    held.give_back()
    assert ended == 1
    assert "6 cells: 1 done, 1 running, 1 failed or diverged, 1 damaged, 2 left" in text
    assert "running: promptfl, seed 3" in text
    assert "round 2/10  loss 1" in text
    assert "left behind: promptfl, seed 4" in text
    assert f"failed: {cells[1].id}: the loss is not finite" in text
    # One done cell of 14.5 s and ten rounds; three like it are open, one runs and has eight left.
    assert "time left: about 41 s with 1 running" in text


def test_what_failed_in_an_earlier_run_is_not_hidden_by_the_last_one(store: Store) -> None:
    cells = [make_record(seed=seed) for seed in range(3)]
    write_done(store, cells[0])
    write_stopped(store, cells[1])
    plan.remember(store.root, [planned(cells[2])], {})
    write_done(store, cells[2])
    text, code = said(status.show, store.root, None)
    assert "1 cell: 1 done" in text
    assert "Of earlier runs: 1 cell done, 1 failed or diverged." in text
    assert f"diverged: {cells[1].id}: the loss is not finite" in text
    assert code == 1


def test_status_without_a_plan_shows_the_records(store: Store) -> None:
    write_done(store, make_record())
    assert said(status.show, store.root, None) == ("1 cell: 1 done\n", 0)
    with pytest.raises(UserError, match="there is no folder"):
        status.show(store.root / "nowhere", None, Console())


def test_an_estimate_goes_by_the_round_and_by_what_is_alike(store: Store) -> None:
    assert plan.estimate([planned(make_record())], store).unknown == 1
    write_done(store, make_record(rounds=10))
    twice = planned(make_record(seed=1))
    found = plan.estimate(
        [twice, planned(make_record("fedpgp")), planned(make_record(dataset="x"))], store
    )
    assert found.seconds == pytest.approx(2 * 14.5)
    assert found.unknown == 1
    assert found.bytes > 1000


def test_check_finds_a_flipped_byte_in_any_file(store: Store) -> None:
    folders = [write_done(store, make_record(seed=seed)) for seed in range(3)]
    text, code = said(check.show, store.root)
    assert (text, code) == ("3 cells: 3 whole, 0 damaged.\n", 0)
    for path in sorted(folders[1].iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
        text, code = said(check.show, store.root)
        assert code == 1
        assert "2 whole, 1 damaged" in text
        assert f"delete the folder {folders[1]} and run the cell again" in text
        path.write_bytes(whole)
    (folders[2] / HISTORY).unlink()
    assert HISTORY in said(check.show, store.root)[0]


def test_check_finds_a_folder_under_a_false_name(store: Store) -> None:
    folder = write_done(store, make_record())
    folder.rename(store.root / "other")
    text, code = said(check.show, store.root)
    assert code == 1
    assert f"holds the record of {folder.name}" in text


def test_check_names_what_killed_runs_left(store: Store) -> None:
    record = make_record()
    for kind in (WORK, ".partial"):
        (store.root / kind / record.id).mkdir(parents=True)
    text, code = said(check.show, store.root)
    assert code == 0
    assert text.count("of an interrupted cell") == 2
    write_done(store, record)
    (store.root / WORK / record.id).mkdir(exist_ok=True)
    assert "can be deleted" in said(check.show, store.root)[0]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(4, "4 s"), (600, "10 min"), (9000, "2.5 h"), (200_000, "2.3 days")]
)
def test_a_time_is_in_a_unit_that_fits(seconds: float, shown: str) -> None:
    assert plan.duration(seconds) == shown


def test_times_are_told_of_each_phase(store: Store) -> None:
    for seed, start in enumerate([4.0, 0.0]):
        times = {"features": 1.0, "train": 5.0, "evaluate": 3.0, "total": 10.0}
        times |= {"start": start} if start else {}
        write_done(store, make_record(seed=seed, times=times))
    text, _ = said(phases.show, store.root)
    (row,) = (line.split() for line in text.splitlines() if line.startswith("  "))
    assert row[-7:] == ["2", "2.00", "1.00", "5.00", "3.00", "1.00", "12.00"]
    assert "2 cells, 24 s of computing: start 4 s, features 2 s, train 10 s, evaluate 6 s, " in text


def test_times_of_nothing_are_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        phases.show(tmp_path / "nowhere", Console())
    write_done(store, make_record(times={}))
    with pytest.raises(UserError, match=r"no cell in .* has its times"):
        phases.show(store.root, Console())


def test_the_rest_of_a_running_cell_counts_and_records_of_other_stores_do_not(
    store: Store,
) -> None:
    cell = make_record(seed=1)
    plan.remember(store.root, [planned(cell)], {})
    write_done(store, make_record(rounds=10))  # 14.5 s
    write_done(Store(store.root / "old"), cell)
    held = Claims(store.root).take(cell.id)
    assert held is not None
    work = store.root / WORK / cell.id
    work.mkdir(parents=True)
    (work / LOG).write_text("12:01  round 8/10  loss 1\n")
    text, _ = said(status.show, store.root, None)
    held.give_back()
    assert "1 cell: 0 done, 1 running" in text
    assert "time left: about 3 s with 1 running" in text

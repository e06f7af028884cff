"""Claims: one runner a cell, a dead one's cell is taken over, and no clock is trusted."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest

from fplbench.grid import claims as module
from fplbench.grid.claims import FOLDER, Claim, Claims

CELL = "promptfl_digits_s0"


def elsewhere(root: Path, nonce: str = "n1", after: str = "first") -> Path:
    """The claim of a runner on a machine that is not this one."""
    path = root / FOLDER / CELL / after
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(Claim(nonce, "far", "another boot", 1, "1", "today"))))
    return path


def test_a_cell_is_one_runners_until_it_is_given_back(tmp_path: Path) -> None:
    one, other = Claims(tmp_path), Claims(tmp_path)
    held = one.take(CELL)
    assert held is not None
    assert other.take(CELL) is None
    assert one.take(CELL) is None
    assert other.take("another") is not None
    held.give_back()
    assert other.take(CELL) is not None


def test_giving_back_leaves_nothing(tmp_path: Path) -> None:
    held = Claims(tmp_path).take(CELL)
    assert held is not None
    held.give_back()
    assert list((tmp_path / FOLDER).iterdir()) == []


CLAIM_AND_SLEEP = """
import sys, time
from pathlib import Path
from fplbench.grid.claims import Claims
print(Claims(Path(sys.argv[1])).take(sys.argv[2]) is not None, flush=True)
time.sleep(600)
"""


def claim_and_sleep(root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CLAIM_AND_SLEEP, str(root), CELL]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


def test_a_killed_runners_cell_is_taken_over_at_once(tmp_path: Path) -> None:
    for _ in range(3):  # a chain of dead runners
        with claim_and_sleep(tmp_path) as process:
            assert Claims(tmp_path).take(CELL) is None
            process.kill()
    held = Claims(tmp_path).take(CELL)
    assert held is not None
    assert Claims(tmp_path).take(CELL) is None
    held.give_back()
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_process_number_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    held = Claims(tmp_path).take(CELL)
    assert held is not None
    held._end.set()
    path = tmp_path / FOLDER / CELL / "first"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"born": "1", "nonce": "old"}))
    assert Claims(tmp_path).take(CELL) is not None


def test_a_runner_elsewhere_is_dead_when_its_beat_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By this process's own clock alone: the file's time may be wrong by years."""
    monkeypatch.setattr(module, "STALE", 0.3)
    path = elsewhere(tmp_path)
    watching = Claims(tmp_path)
    for year in (2001, 2037, 1999, 2024):  # a beat is any change
        os.utime(path, ((year - 1970) * 3e7, (year - 1970) * 3e7))
        assert watching.take(CELL) is None
        time.sleep(0.15)
    time.sleep(0.35)
    assert watching.take(CELL) is not None


def test_a_clock_that_jumps_kills_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere(tmp_path)
    watching = Claims(tmp_path)
    assert watching.take(CELL) is None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e9)
    assert watching.take(CELL) is None
    assert Claims(tmp_path).take(CELL) is None


def test_a_runner_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT", 0.02)
    held = Claims(tmp_path).take(CELL)
    assert held is not None
    first = Claims(tmp_path).beat(CELL, held.claim)
    deadline = time.monotonic() + 10
    while Claims(tmp_path).beat(CELL, held.claim) == first:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    held.give_back()


def test_who_was_taken_for_dead_learns_of_it(tmp_path: Path) -> None:
    held = Claims(tmp_path).take(CELL)
    assert held is not None
    other = Claims(tmp_path, dead=frozenset([held.claim.nonce])).take(CELL)
    assert other is not None
    assert held.lost()
    assert not other.lost()
    held.give_back()  # it has nothing to give back
    assert not other.lost()
    assert Claims(tmp_path).take(CELL) is None


def test_a_takeover_of_a_chain_that_is_gone_gives_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B sees that A is dead; C takes over, ends, gives back; D begins; only then B acts."""
    elsewhere(tmp_path, "a")
    late = Claims(tmp_path, dead=frozenset("a"))
    seen = late.owner(CELL)
    c = Claims(tmp_path, dead=frozenset("a")).take(CELL)
    assert c is not None
    c.give_back()
    d = Claims(tmp_path).take(CELL)
    assert d is not None
    monkeypatch.setattr(late, "owner", lambda cell_id: seen)
    assert late.take(CELL) is None
    assert not d.lost()
    d.give_back()


def test_a_torn_claim_goes_stale_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(tmp_path).write_text("{")
    watching = Claims(tmp_path)
    assert watching.take(CELL) is None
    monkeypatch.setattr(module, "STALE", -1)
    assert watching.take(CELL) is not None


def test_claims_that_are_torn_alike_go_stale_each_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash of the machine leaves empty files: a runner looks at one cell after the other."""
    cells = ("one", "two")
    for place, cell in enumerate(cells):
        path = tmp_path / FOLDER / cell / "first"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (place, place))
    monkeypatch.setattr(module, "STALE", 0.2)
    watching = Claims(tmp_path)
    for _ in range(4):
        assert not any(watching.take(cell) for cell in cells if time.sleep(0.02) is None)
    time.sleep(0.25)
    assert all(watching.take(cell) is not None for cell in cells)


def test_a_disk_that_is_away_for_a_moment_takes_no_cell_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Claims(tmp_path).take(CELL)
    assert held is not None

    def away(path: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", away)
        assert not held.lost()
        held.give_back()
    assert Claims(tmp_path).owner(CELL) == held.claim


def test_without_hard_links_a_claim_is_still_one_runners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    held = Claims(tmp_path).take(CELL)
    assert held is not None
    assert Claims(tmp_path).take(CELL) is None
    held.give_back()


RACE = """
import sys
from pathlib import Path
from fplbench.grid.claims import Claims
root, dead = Path(sys.argv[1]), frozenset(["n1"])
print("ready", flush=True)
sys.stdin.readline()
for turn in range(int(sys.argv[2])):
    claims = Claims(root, dead)
    held = claims.take(f"cell{turn}")
    if held is not None:
        print(turn)
print("through", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("dead", [False, True])
def test_of_many_that_reach_for_a_cell_one_gets_it(tmp_path: Path, dead: bool) -> None:
    """Four processes and 200 cells, free ones or a dead runner's."""
    cells = 200
    for turn in range(cells if dead else 0):
        path = elsewhere(tmp_path)
        path.parent.rename(tmp_path / FOLDER / f"cell{turn}")
    command = [sys.executable, "-c", RACE, str(tmp_path), str(cells)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    got: Counter[str] = Counter()
    for process in processes:  # each keeps what it has until all are through
        assert process.stdout is not None
        got.update(line.strip() for line in iter(process.stdout.readline, "through\n"))
    for process in processes:
        process.communicate(timeout=30)
    assert len(got) == cells
    assert set(got.values()) == {1}

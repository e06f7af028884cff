"""What clients keep in files is what they would keep in memory, and a checkpoint's rows stay."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fplbench.engine.private import InFile, InMemory
from fplbench.method import Tensors

CLIENTS = 7
START = {
    "ctx": torch.arange(6.0).view(2, 3),
    "flag": torch.tensor(True),
    "chosen": torch.tensor([4, -1]),
}


def drawn(client: int) -> Tensors:
    return {"ctx": torch.full((2, 3), float(client))}


def none(client: int) -> Tensors:
    return {}


def brought(clients: torch.Tensor, turn: int) -> Tensors:
    g = torch.Generator().manual_seed(turn)
    count = len(clients)
    return {
        "ctx": torch.randn(count, 2, 3, generator=g),
        "flag": torch.rand(count, generator=g) < 0.5,
        "chosen": torch.randint(9, (count, 2), generator=g),
        "shared": torch.zeros(count),
    }


def same(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(
        one[n].dtype == other[n].dtype and torch.equal(one[n], other[n]) for n in one
    )


SOME = st.lists(st.integers(0, CLIENTS - 1), min_size=1, max_size=CLIENTS, unique=True)
MOVES = st.lists(st.one_of(SOME, st.sampled_from(["save", "full disk", "die"])), max_size=12)


@settings(max_examples=60, deadline=None)
@given(moves=MOVES, own=st.booleans())
def test_files_are_as_memory_through_checkpoints_and_kills(moves: list[object], own: bool) -> None:
    """die: what came after the last checkpoint is lost; the files have it, and must not show it."""
    draw = drawn if own else none
    with TemporaryDirectory() as root:
        memory, files = InMemory(CLIENTS, START, draw), InFile(CLIENTS, START, draw, Path(root))
        saved = None
        for turn, move in enumerate(moves):
            if move == "save":
                saved = files.state(), {n: t.clone() for n, t in memory.state().items()}
                files.saved()
            elif move == "full disk":
                files.state()  # and nobody kept it: the checkpoint before it is the one that counts
            elif move == "die":
                files, memory = (
                    InFile(CLIENTS, START, draw, Path(root)),
                    InMemory(CLIENTS, START, draw),
                )
                if saved is not None:
                    files.load(saved[0])
                    memory.load(saved[1])
            else:
                clients = torch.tensor(move)
                memory.keep(clients, brought(clients, turn))
                files.keep(clients, brought(clients, turn))
            assert same(memory.all(), files.all())


def test_clients_that_never_took_part_take_no_room(tmp_path: Path) -> None:
    many = 300_000
    wide = {"ctx": torch.ones(16, 64)}
    files = InFile(many, wide, none, tmp_path)
    some = torch.tensor([5, 299_999])
    files.keep(some, {"ctx": torch.full((2, 16, 64), 2.0)})
    files.state()
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == (2 * many - 1) * 4096
    assert path.stat().st_blocks * 512 < 2**20
    assert files.everything()["private.clients"].tolist() == [5, 299_999]
    assert files.of(torch.tensor([4, 5]))["ctx"].mean((1, 2)).tolist() == [1, 2]


def test_a_state_that_the_files_do_not_hold_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    files = InFile(CLIENTS, START, none, tmp_path)
    some = torch.tensor([1, 3])
    files.keep(some, brought(some, 0))
    before, state = files.all(), files.state()
    state["check"][3] += 1
    with pytest.raises(ValueError, match="what client 3 keeps is not what was written"):
        files.load(state)
    with pytest.raises(ValueError, match="there are 7 clients, and the state is of others"):
        files.load({"place": torch.zeros(6, dtype=torch.uint8)})
    assert same(before, files.all())


def test_a_line_that_another_one_wrote_is_refused(tmp_path: Path) -> None:
    """A runner that was taken for dead may still write: no number is made of that."""
    mine, theirs = (InFile(CLIENTS, START, none, tmp_path) for _ in range(2))
    some = torch.tensor([1, 3])
    mine.keep(some, brought(some, 0))
    theirs.keep(some[:1], brought(some[:1], 1))
    assert mine.of(some[1:])["ctx"].shape == (1, 2, 3)
    with pytest.raises(ValueError, match="what client 1 keeps is not what was written"):
        mine.of(some)

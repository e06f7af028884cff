"""The file of a checkpoint: it comes back whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fplbench.records import checkpoint
from fplbench.records.checkpoint import DamagedCheckpoint, State

STATE = State({"server.ctx": torch.arange(6.0), "times": torch.tensor([1, 2])}, {"round": 3})


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    assert checkpoint.read(tmp_path) is None
    checkpoint.write(tmp_path, STATE)
    found = checkpoint.read(tmp_path)
    assert found is not None
    assert found.facts == STATE.facts
    assert list(found.tensors) == list(STATE.tensors)
    assert all(torch.equal(found.tensors[name], t) for name, t in STATE.tensors.items())
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.NAME]


def test_a_flipped_byte_anywhere_is_noticed(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, STATE)
    path = tmp_path / checkpoint.NAME
    data = path.read_bytes()
    for position in range(8, len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        try:
            found = checkpoint.read(tmp_path)
        except DamagedCheckpoint:
            continue
        # Padding between header and tensors, and spaces, may differ; what is read may not.
        assert found is not None
        assert found.facts == STATE.facts
        assert all(torch.equal(found.tensors[name], t) for name, t in STATE.tensors.items())
    for kept in (0, 7, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:kept])
        with pytest.raises(DamagedCheckpoint):
            checkpoint.read(tmp_path)


def test_a_file_from_before_layouts_were_numbered_is_refused(tmp_path: Path) -> None:
    about = {"facts": '{"round": 1, "order": []}', "sha256": "0" * 64}
    save_file(STATE.tensors, tmp_path / checkpoint.NAME, about)
    with pytest.raises(DamagedCheckpoint, match="another version of fplbench"):
        checkpoint.read(tmp_path)


def test_tensors_come_back_in_the_order_in_which_they_were_given(tmp_path: Path) -> None:
    names = ["server.z", "server.a", "private.m"]
    checkpoint.write(tmp_path, State({name: torch.ones(1) for name in names}, {}))
    found = checkpoint.read(tmp_path)
    assert found is not None
    assert list(found.tensors) == names

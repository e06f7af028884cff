"""A checkpoint: all that a cell knows between two rounds, in one safetensors file.

Every random number is derived from (seed, what for, client, round), so the tensors, the rows so
far and the number of rounds are the whole state, and a cell that goes on from here ends with the
bits of one that was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fplbench.records.atomic import write_aside

NAME = "checkpoint.safetensors"
LAYOUT = 2
"""Rises when a cell keeps other things in it: cells then begin anew, not from what is missing."""


@dataclass(frozen=True)
class State:
    """tensors: of server, clients and accuracies, by prefix, whose order is kept; facts: all else,
    as JSON."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class DamagedCheckpoint(Exception):
    """The file is not what was written, or another version of fplbench wrote it."""


def write(folder: Path, state: State) -> None:
    """Write a cell's checkpoint in place of the one before; OSError where the disk is full."""
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in state.tensors.items()
    }
    about = json.dumps({"layout": LAYOUT, "order": list(tensors), "facts": state.facts})
    folder.mkdir(parents=True, exist_ok=True)
    with write_aside(folder / NAME, alone=True) as file:
        file.write(save(tensors, {"about": about, "sha256": _digest(tensors, about)}))


def read(folder: Path) -> State | None:
    """The last checkpoint of a cell, None if there is none."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            written = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        about = json.loads(written.get("about", "{}"))
        if about.get("layout") != LAYOUT:
            raise DamagedCheckpoint(f"{path} is of another version of fplbench")
        if written["sha256"] != _digest(tensors, written["about"]):
            raise DamagedCheckpoint(f"{path} is not what was written")
        return State({name: tensors[name] for name in about["order"]}, about["facts"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DamagedCheckpoint(f"{path} cannot be read: {error}") from error


def _digest(tensors: dict[str, Tensor], about: str) -> str:
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"\0{name} {value.dtype} {tuple(value.shape)}\0".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

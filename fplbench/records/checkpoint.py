"""A checkpoint: all that a cell knows between two rounds, in one safetensors file.

Every random number is derived from (seed, what for, client, round), so the tensors, the rows so
far and the number of rounds are the whole state, and a cell that goes on from here ends with the
bits of one that was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

NAME = "checkpoint.safetensors"


@dataclass(frozen=True)
class State:
    """tensors: of server, clients and accuracies, by prefix; facts: all else, as JSON."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class DamagedCheckpoint(Exception):
    """The file is not what was written."""


def write(folder: Path, state: State) -> None:
    """Write the file aside and rename it: whoever is killed meanwhile leaves the one before."""
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in state.tensors.items()
    }
    facts = json.dumps(state.facts)
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{NAME}"
    try:
        with aside.open("wb") as file:
            file.write(save(tensors, {"facts": facts, "sha256": _digest(tensors, facts)}))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(folder / NAME)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def read(folder: Path) -> State | None:
    """The last checkpoint of a cell, None if there is none."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if about["sha256"] != _digest(tensors, about["facts"]):
            raise DamagedCheckpoint(f"{path} is not what was written")
        return State(tensors, json.loads(about["facts"]))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DamagedCheckpoint(f"{path} cannot be read: {error}") from error


def _digest(tensors: dict[str, Tensor], facts: str) -> str:
    digest = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"\0{name} {value.dtype} {tuple(value.shape)}\0".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

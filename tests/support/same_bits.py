"""Compares two results folders: metrics, histories and prompts, bit for bit.

    sh tests/support/same_bits.sh BEFORE     # on the old code
    sh tests/support/same_bits.sh AFTER      # on the new, same machine and threads
    python tests/support/same_bits.py BEFORE AFTER

Cells are matched by their path without the hash at its end, which may change when code does.
What is a time, and where and when a cell ran, is not compared. Exits 1 and names the first
differences.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file

SHOWN = 20
NUMBERS = ("status", "metrics", "not_applicable", "clients", "train_sizes", "label_counts")
NUMBERS += ("never_sampled", "traffic", "trainable_parameters")


def cells(root: Path) -> dict[str, Path]:
    """The cells below a folder, by their path without the hash of their id."""
    found: dict[str, Path] = {}
    for record in sorted(root.rglob("record.json")):
        if any(part.startswith(".") for part in record.relative_to(root).parts):
            continue  # a cell that was never finished
        name = record.parent.relative_to(root).as_posix().rpartition("_")[0]
        if name in found:
            sys.exit(f"{found[name]} and {record.parent} differ in the hash of their id alone")
        found[name] = record.parent
    return found


def differences(before: Path, after: Path) -> Iterator[str]:
    """A line for each thing that two cells do not share."""
    old, new = (json.loads((at / "record.json").read_text()) for at in (before, after))
    for key in NUMBERS:
        yield from _unlike(key, old.get(key), new.get(key))
    tables = [pd.read_csv(at / "history.csv", dtype=str) for at in (before, after)]
    rows = [table.drop(columns="seconds", errors="ignore").to_dict("list") for table in tables]
    yield from _unlike("history", *rows)
    tensors = [
        load_file(path) if (path := at / "prompts.safetensors").exists() else {}
        for at in (before, after)
    ]
    values = [
        {name: [str(t.dtype), list(t.shape), t.numpy().tobytes()] for name, t in each.items()}
        for each in tensors
    ]
    yield from _unlike("prompts", *values)


def _unlike(where: str, old: object, new: object) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        if list(old) != list(new):
            yield f"{where}: {list(old)} / {list(new)}"
        for key in old.keys() & new.keys():
            yield from _unlike(f"{where}.{key}", old[key], new[key])
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from _unlike(f"{where}[{index}]", *pair)
    elif isinstance(old, bytes) and isinstance(new, bytes):
        if old != new:
            yield f"{where}: other bytes"
    elif old != new and not (_is_nan(old) and _is_nan(new)):
        yield f"{where}: {old!r} / {new!r}"


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def main(before: Path, after: Path) -> int:
    """Print what differs; the exit code, which is 1 as well where there is nothing to compare."""
    old, new = cells(before), cells(after)
    found = [f"only in {before}: {name}" for name in old if name not in new]
    found += [f"only in {after}: {name}" for name in new if name not in old]
    both = [name for name in old if name in new]
    for name in both:
        found += [f"{name}: {line}" for line in differences(old[name], new[name])]
    for line in found[:SHOWN]:
        print(line)
    print(f"{len(both)} cells compared, {len(found)} differences")
    return 1 if found or not both else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*map(Path, sys.argv[1:])))

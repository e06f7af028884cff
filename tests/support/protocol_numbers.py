"""Numbers that a protocol's version stands for: where small cells end, whom splits give what.

    PYTHONPATH=tests/support python -m protocol_numbers

writes them to tests/golden/protocol.json, adding entries of new methods and scenarios. Entries
that moved are written only if fplbench.spec.PROTOCOL rose, or if the embedded backbone, whose
fingerprint is in every record, has other weights.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benches import workbench

from fplbench import rng
from fplbench.dataset import Data, ImageArray, Split, together
from fplbench.engine.chunks import Chunk
from fplbench.engine.federation import Federation
from fplbench.engine.fit import run_round, setup_of
from fplbench.errors import UserError
from fplbench.features.stock import Workbench
from fplbench.grid.expand import expand
from fplbench.method import Method
from fplbench.plugins import registry
from fplbench.spec import PROTOCOL, Request

FILE = Path(__file__).parents[1] / "golden" / "protocol.json"
# Two local steps a round on real digits; 3 of 5 clients take part, since shares are cut.
SMALL = {
    "clients": 5, "participation": 0.7, "shots": 4, "rounds": 2, "local_epochs": 1,
    "batch_size": 20, "lr": 0.5, "lr_schedule": "constant",
}  # fmt: skip
DIRECTIONS = 8
TOLERANCE = 1e-5

Numbers = dict[str, list[float]]
METHODS, DATASETS = registry.methods(), registry.datasets()
SCENARIOS = registry.scenarios()
# Not those that are nothing without an argument: what they deal is in a file.
BUILT_IN = [
    name
    for name, cls in SCENARIOS.classes.items()
    if SCENARIOS.origins[name] == registry.BUILT_IN and not cls.wants
]


def candidates() -> list[tuple[str, str]]:
    """Every built-in method with its defaults ("") and with each variant that it declares."""
    return [
        (name, variant)
        for name, kind in METHODS.classes.items()
        if METHODS.origins[name] == registry.BUILT_IN
        for variant in ("", *kind.variants)
    ]


def key(method: str, variant: str) -> str:
    return f"{method}, {variant}" if variant else method


def trained(bench: Workbench, method: str, variant: str) -> Numbers:
    """What each tensor of a small cell is after two rounds: its norm, then its length along
    DIRECTIONS random directions."""
    kind = METHODS.get(method)
    settings = dict(kind.variants[variant]) if variant else {}
    request = Request(methods=(method,), datasets=("digits",), options=SMALL, sets=settings)
    try:
        (cell,) = expand(request, bench)
    except UserError:  # it wants an even number of clients
        six = request.model_copy(update={"options": SMALL | {"clients": 6}})
        (cell,) = expand(six, bench)
    clients = bench.scenario(cell).build(bench.data("digits"), cell.seed)
    sizes = [len(rows) for rows in clients.train_rows]
    made: Method = kind(kind.Config(**cell.settings))
    made = made.set_up(setup_of(cell.seed, sizes, cell.training))
    federation = Federation(
        made,
        bench.task_for(cell.backbone, cell.dataset),
        clients,
        bench.images(cell.backbone, cell.dataset, "train", made.inputs),
        cell.seed,
        torch.device("cpu"),
    )
    if federation.trained:
        for index in range(1, cell.training.rounds + 1):
            run_round(federation, cell.training, index, Chunk(federation.clients))
    tensors = {f"server.{name}": t for name, t in federation.server.items()}
    tensors |= {f"private.{name}": t for name, t in federation.private.items()}
    return {name: _summary(tensor) for name, tensor in tensors.items()}


def _summary(tensor: torch.Tensor) -> list[float]:
    flat = tensor.double().flatten().numpy()
    directions = rng.numpy_generator(0, "directions").standard_normal((DIRECTIONS, len(flat)))
    along = directions @ flat / np.linalg.norm(directions, axis=1)
    return [float(f"{value:.9g}") for value in (np.linalg.norm(flat), *along)]


def moved(before: Numbers, now: Numbers) -> list[str]:
    """The tensors that differ by more than TOLERANCE of their norm."""
    names = before.keys() | now.keys()
    return sorted(
        name
        for name in names
        if name not in before
        or name not in now
        or np.abs(np.subtract(before[name], now[name])).max() > TOLERANCE * before[name][0]
    )


def splits(scenario: str) -> dict[str, Any]:
    """A scenario with its defaults on made-up labels: rows of each client, by number and hash."""
    cls = SCENARIOS.get(scenario)
    try:
        made = cls(cls.Config()).build(_data(), 0)
    except UserError:  # it wants several data sets
        made = cls(cls.Config()).build(together(["one", "other"], [_data(), _data()]), 0)
    exams = (*made.exams, *made.shared_exams)
    return {
        "train": [len(rows) for rows in made.train_rows],
        "train rows": [_hash(rows) for rows in made.train_rows],
        "classes": _hash(made.train_classes),
        "exams": [
            {
                "classes": _hash(exam.classes),
                "rows": _hash(exam.rows),
                "questions": {
                    name: _hash(np.flatnonzero(asked.counts))
                    for name, asked in exam.questions.items()
                },
            }
            for exam in exams
        ],
    }


def _data() -> Data:
    """20 classes in 3 domains, 60 images of each to train on and 12 to test on."""

    def split(each: int) -> Split:
        labels = np.tile(np.arange(20), each).astype(np.int64)
        domains = (np.arange(len(labels)) // 20 % 3).astype(np.int64)
        return Split(ImageArray(np.zeros((len(labels), 1, 1), np.uint8)), labels, domains)

    names = tuple(f"class {label}" for label in range(20))
    return Data(names, split(60), split(12), ("{}",), "made up", "made up", ("a", "b", "c"))


def _hash(rows: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows, "<i8").tobytes()).hexdigest()[:16]


def main() -> None:
    kept = json.loads(FILE.read_text()) if FILE.exists() else {"protocol": 0}
    with tempfile.TemporaryDirectory() as cache:
        bench = workbench(Path(cache), "pooled", "patches")
        cells = {key(*each): trained(bench, *each) for each in candidates()}
        weights = bench.backbone("tiny").fingerprint
    now = {
        "protocol": PROTOCOL,
        "weights": weights,
        "methods": cells,
        "scenarios": {name: splits(name) for name in BUILT_IN},
    }
    before = kept.get("methods", {})
    changed = [name for name in cells.keys() & before.keys() if moved(before[name], cells[name])]
    changed += [
        name
        for name, rows in kept.get("scenarios", {}).items()
        if name in BUILT_IN and rows != now["scenarios"][name]
    ]
    same = kept["protocol"] == PROTOCOL and kept.get("weights") == weights
    if changed and kept["protocol"] >= PROTOCOL and kept.get("weights") == weights:
        sys.exit(
            f"numbers of {', '.join(sorted(changed))} moved: raise PROTOCOL in fplbench/spec.py "
            "and say in docs/protocol-history.md what moved and by how much, or undo the change"
        )
    if same:  # entries that agree keep their last digits
        now["methods"] = cells | {name: before[name] for name in cells.keys() & before.keys()}
    FILE.write_text(json.dumps(now, indent=1) + "\n")
    print(f"{len(cells)} cells and {len(BUILT_IN)} scenarios of protocol {PROTOCOL} are in {FILE}")


if __name__ == "__main__":
    main()

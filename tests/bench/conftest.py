"""The backbone of the bench, and where its rows are gathered."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest
import torch

from fplbench import clip as clips
from fplbench.clip import Backbone

BACKBONE = os.environ.get("FPLBENCH_BENCH_BACKBONE", "ViT-B-16:random")
ROWS: list[dict[str, object]] = []


@pytest.fixture(scope="session")
def clip() -> Iterator[Backbone]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        threads = torch.get_num_threads()
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    yield clips.load(BACKBONE, device)
    if device == "cpu":
        torch.set_num_threads(threads)


@pytest.fixture
def row() -> Callable[..., None]:
    def add(table: str, **values: object) -> None:
        ROWS.append({"table": table, **values})
        print(json.dumps(ROWS[-1]))

    return add

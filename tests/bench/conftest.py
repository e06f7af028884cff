"""The backbone of the bench, and where its rows are gathered."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import bench_report
import pytest
import torch

from fplbench.clip.backbone import Backbone
from fplbench.features import backbones
from fplbench.machine import process

BACKBONE = "ViT-B-16:random"
ROWS: list[bench_report.Row] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fplbench")
    group.addoption("--bench-out", type=Path, help="folder for the bench's JSON and plots")
    group.addoption("--bench-part", action="store_true", help="keep --bench-out's other rows")
    group.addoption("--bench-docs", type=Path, help="page whose tables are written anew")


@pytest.fixture(scope="session")
def clip() -> Iterator[Backbone]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    process.keep_freed_memory()
    yield backbones.load(BACKBONE, device)
    torch.set_num_threads(threads)


@pytest.fixture
def row() -> Callable[..., None]:
    """Adds a row to one of the bench's tables."""

    def add(table: str, **values: bench_report.Value) -> None:
        ROWS.append({"table": table, **values})
        print(json.dumps(ROWS[-1]))

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not ROWS:
        return
    terminalreporter.write_line(bench_report.tables(ROWS))
    rows = ROWS
    out: Path | None = terminalreporter.config.getoption("--bench-out")
    if out is not None:
        if terminalreporter.config.getoption("--bench-part"):
            rows = bench_report.with_earlier(ROWS, out)
        bench_report.write(rows, BACKBONE, out)
        terminalreporter.write_line(f"written: {out}")
    docs: Path | None = terminalreporter.config.getoption("--bench-docs")
    if docs is not None:
        bench_report.write_docs(rows, docs)
        terminalreporter.write_line(f"written: {docs}")

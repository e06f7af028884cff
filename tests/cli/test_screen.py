"""The live display: what it tells on a terminal, and that it is quiet in a pipe."""

from __future__ import annotations

import io
from pathlib import Path

from benches import workbench
from rich.console import Console

from fplbench.cli.screen import Screen
from fplbench.grid.jobs import Job
from fplbench.spec import Cell, Training

CELL = Cell(
    method="promptfl",
    settings={},
    dataset="digits",
    scenario="personal",
    scenario_settings={},
    training=Training(),
    backbone="tiny",
    seed=3,
)


def shown(terminal: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120)
    job = Job(CELL, "an id")
    with Screen(2, console, {"personal": ("local", "novel")}) as screen:
        screen.began(job)
        screen.encoded(job, 64, 1078)
        screen._bars.refresh()
        screen.round(job, 2, 4, {"loss": 1.25, "local": 61.5, "novel": float("nan")})
        screen._bars.refresh()
        screen.round(job, 3, 4, {"loss": 1.125})
        screen._bars.refresh()
        screen.ended(job)
    return file.getvalue()


def test_a_terminal_is_told_of_images_rounds_and_accuracies() -> None:
    text = shown(terminal=True)
    for part in ("promptfl on digits", "64/1078", "images encoded first", "2/4", "loss 1.250"):
        assert part in text
    assert "loss 1.125  local 61.5%" in text, "an accuracy stays until the next one"
    assert "novel" not in text
    assert "1/2" in text


def test_a_pipe_stays_quiet() -> None:
    assert shown(terminal=False).strip() == ""


def test_the_image_tower_tells_how_far_it_is_and_only_while_it_works(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    for _ in range(2):
        bench = workbench(tmp_path)
        images = bench.images(
            "tiny",
            "digits",
            "test",
            frozenset({"pooled"}),
            progress=lambda done, images: told.append((done, images)),
        )
    count = len(images.labels)
    assert told[0] == (64, count)
    assert told[-1] == (count, count)
    assert len(told) == -(-count // 64), "the second time features come from the cache"

"""A small real federation: a CLIP with random weights, images with random features."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer

from fplbench.clip.task import PromptTask
from fplbench.clip.text import TextTower
from fplbench.dataset import IntArray
from fplbench.engine.federation import Federation
from fplbench.engine.fit import setup_of
from fplbench.features.images import Images
from fplbench.method import Method
from fplbench.scenario import Clients, Exam, Question
from fplbench.spec import Training

CLASSES = ("cat", "polar bear", "sea horse", "fox")
EMBED = 16


@pytest.fixture(scope="session")
def task() -> PromptTask:
    torch.manual_seed(0)
    vision = {"layers": 1, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 16}
    text = {"layers": 2, "width": 32, "heads": 2}
    model = CLIP(EMBED, vision, text).eval().requires_grad_(False)
    tower, templates = TextTower(model, SimpleTokenizer()), ("a photo of a {}.",)
    return PromptTask(tower, CLASSES, templates, torch.tensor(10.0), visual=model.visual)


def images(count: int, seed: int, patches: int = 4) -> Images:
    """Random unit features; every class appears."""
    g = torch.Generator().manual_seed(seed)
    return Images(
        labels=np.arange(count, dtype=np.int64) % len(CLASSES),
        pooled=F.normalize(torch.randn(count, EMBED, generator=g), dim=-1),
        patches=F.normalize(torch.randn(count, patches, EMBED, generator=g), dim=-1),
        norms=3 + torch.rand(count, generator=g),
        embedded=0.5 * torch.randn(count, 1 + patches, 32, generator=g),
        mirrored=F.normalize(torch.randn(count, EMBED, generator=g), dim=-1),
    )


def scenario(sizes: tuple[int, ...], tests: int = 12) -> Clients:
    """Clients hold consecutive rows; all are asked about all test images."""
    ends = np.cumsum((0, *sizes))
    every = np.arange(tests)
    mine = Question(np.ones((len(sizes), tests), dtype=bool))
    alone = Question(np.ones((1, tests), dtype=bool))
    classes = np.arange(len(CLASSES))
    return Clients(
        train_rows=tuple(np.arange(a, b) for a, b in pairwise(ends)),
        train_classes=classes,
        class_mask=None,
        exams=(Exam(classes, np.tile(every, (len(sizes), 1)), {"local": mine}),),
        shared_exams=(Exam(classes, every[None], {"global": alone}),),
        client_names=tuple(f"client {c}" for c in range(len(sizes))),
    )


Make = Callable[..., Federation]


@pytest.fixture
def federation(task: PromptTask) -> Make:
    """make(method, sizes=..., seed=..., nudge=..., new=..., evaluated=..., folder=...): one ready
    for its first round."""

    def make(
        method: Method,
        sizes: tuple[int, ...] = (9, 5, 12),
        seed: int = 0,
        nudge: int = 0,
        new: float = 0.0,
        evaluated: int = 0,
        folder: Path | None = None,
    ) -> Federation:
        def task_for(classes: IntArray) -> PromptTask:
            return task.subset(classes)

        if method.setup is None:
            told = Training(rounds=1, new_clients=new)
            method = method.set_up(setup_of(seed, sizes, told))
        return Federation(
            method,
            task_for,
            scenario(sizes),
            images(sum(sizes), seed=1),
            seed,
            torch.device("cpu"),
            nudge,
            new,
            evaluated,
            folder,
        )

    return make

"""How time and memory grow with clients, classes and the length of the context."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import CASES, Case, method_of
from open_clip import IMAGENET_CLASSNAMES

from fplbench.clip.backbone import Backbone
from fplbench.clip.task import PromptTask
from fplbench.engine.chunks import plan_chunk
from fplbench.engine.federation import Federation
from fplbench.engine.fit import run_round
from fplbench.engine.memory import peak_bytes
from fplbench.features.images import Images
from fplbench.scenario import Clients
from fplbench.spec import Training

Row = Callable[..., None]
PETS = CASES[0]
ONE_STEP = Training(rounds=1, local_epochs=1)
CLASSNAMES = tuple(f"{name} {i}" for i, name in enumerate(IMAGENET_CLASSNAMES))


def federation_of(case: Case, method: str, clip: Backbone, seed: int = 0) -> Federation:
    """Clients with one batch of random images each."""
    count = case.clients * case.batch
    noise = torch.Generator().manual_seed(seed)
    few = F.normalize(torch.randn(4096, clip.embed_dim, generator=noise), dim=-1)
    task = PromptTask(clip.text, case.classnames, ("a photo of a {}.",), clip.logit_scale)
    labels = np.arange(len(few)) % len(case.classnames)
    rows = np.arange(count).reshape(case.clients, case.batch) % len(few)
    scenario = Clients(
        train_rows=tuple(rows),
        train_classes=np.arange(len(case.classnames)),
        class_mask=None,
        exams=(),
        shared_exams=(),
        client_names=tuple(map(str, range(case.clients))),
    )
    images = Images(labels=labels, pooled=few, patches=None)
    return Federation(method_of(method, case), lambda _: task, scenario, images, seed, clip.device)


def measure(federation: Federation, training: Training) -> dict[str, float]:
    """One round of one step a client: seconds, peak memory, and what clients keep between rounds.

    Memory is counted while time is taken; the count costs a few percent where steps are small.
    """
    chunk = plan_chunk(federation, training)
    start = time.perf_counter()
    peak = peak_bytes(lambda: run_round(federation, training, 1, chunk))
    kept = (*federation.private.values(), *federation.server.values())
    return {
        "seconds": time.perf_counter() - start,
        "peak_mib": peak / 2**20,
        "state_mib": sum(t.numel() * t.element_size() for t in kept) / 2**20,
        "clients_at_once": chunk.clients,
    }


@pytest.mark.parametrize("clients", [1, 10, 100])
def test_clients(clients: int, clip: Backbone, row: Row) -> None:
    case = replace(PETS, clients=clients)
    row(
        "growth", of="clients", size=clients, **measure(federation_of(case, "coop", clip), ONE_STEP)
    )


@pytest.mark.parametrize("classes", [10, 100, 1000])
def test_classes(classes: int, clip: Backbone, row: Row) -> None:
    case = replace(PETS, classnames=CLASSNAMES[:classes], clients=2)
    row(
        "growth",
        of="classes, two clients",
        size=classes,
        **measure(federation_of(case, "coop", clip), ONE_STEP),
    )


@pytest.mark.parametrize("n_ctx", [4, 8, 16, 32, 64])
def test_context(n_ctx: int, clip: Backbone, row: Row) -> None:
    case = replace(PETS, n_ctx=n_ctx)
    row(
        "growth",
        of="context tokens",
        size=n_ctx,
        **measure(federation_of(case, "coop", clip), ONE_STEP),
    )


def test_ten_thousand_clients(clip: Backbone, row: Row) -> None:
    """Beyond the clients' own state, time and memory are of those who take part."""
    found = []
    for clients in (1000, 10_000):
        hundred = ONE_STEP.model_copy(update={"participation": 100 / clients})
        federation = federation_of(replace(PETS, clients=clients), "coop", clip)
        found.append(measure(federation, hundred))
        row("growth", of="clients, a hundred in a round", size=clients, **found[-1])
    few, many = found
    assert many["peak_mib"] < 1.05 * few["peak_mib"]

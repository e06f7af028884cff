"""The memory of a round of one step and of a test image, with random weights and images: as the
engine plans it, and as a process takes it.

    PYTHONPATH=tests/support python -m memory_of_a_round maple --limit 24

One line of JSON, bytes but for counts; --limit: GiB of address space that the process may have.
"""

from __future__ import annotations

import argparse
import json
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from fplbench.clip.backbone import Backbone
from fplbench.clip.task import PromptTask
from fplbench.engine.chunks import BUDGET, Chunk, plan_chunk
from fplbench.engine.federation import Federation
from fplbench.engine.fit import run_round
from fplbench.engine.memory import peak_bytes
from fplbench.features import backbones
from fplbench.features.images import Images
from fplbench.machine.process import keep_freed_memory
from fplbench.method import Method
from fplbench.plugins import registry
from fplbench.scenario import Clients
from fplbench.spec import Training

CLASSES = 19


def federation(method: Method, clip: Backbone, clients: int, batch: int) -> Federation:
    """Each client has one batch of images."""
    task = PromptTask(
        clip.text,
        [f"spotted animal {k}" for k in range(CLASSES)],
        ("a photo of a {}.",),
        clip.logit_scale,
        visual=clip.visual,
    )
    rows = np.arange(clients * batch).reshape(clients, batch)
    scenario = Clients(
        train_rows=tuple(rows),
        train_classes=np.arange(CLASSES),
        class_mask=None,
        exams=(),
        shared_exams=(),
        client_names=tuple(f"client {c}" for c in range(clients)),
    )
    images = random_images(method, clip, rows.size)
    return Federation(method, lambda _: task, scenario, images, 0, torch.device("cpu"))


def random_images(method: Method, clip: Backbone, count: int) -> Images:
    noise = torch.Generator().manual_seed(0)
    length, width = clip.visual.positional_embedding.shape
    patches = None
    if "patches" in method.inputs:
        drawn = torch.randn(count, length - 1, clip.embed_dim, generator=noise)
        patches = F.normalize(drawn, dim=-1).half()
    return Images(
        labels=CLASSES - 1 - np.arange(count) % CLASSES,
        pooled=F.normalize(torch.randn(count, clip.embed_dim, generator=noise), dim=-1),
        patches=patches,
        embedded=(
            torch.randn(count, length, width, generator=noise)
            if "pixels" in method.inputs
            else None
        ),
    )


def resident() -> int:
    """Bytes of this process that lie in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@torch.no_grad()
def of_a_test_image(fed: Federation) -> int:
    """Of one client, counted."""
    one, yes = torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1, dtype=torch.bool)
    data = fed.local_data([0])
    models = fed.models(fed.round_of(torch.tensor([0]), 1), data)
    batch = replace(data.batch(one, yes, one[0], models.fixed), training=False)
    text = fed.method.encode(models.params, fed.task)
    return peak_bytes(lambda: fed.method.logits(models.params, text, batch, fed.task))


def measured(name: str, backbone: str, clients: int, batch: int) -> dict[str, float]:
    """client_step: planned for one client, from which chunk_cpu and chunk_cuda follow; taken: by a
    step of all clients together, over what the process had before; process: all that it ever had;
    test_image: of one client."""
    kind = registry.methods().get(name)
    clip = backbones.load(backbone)
    fed = federation(kind(kind.Config()), clip, clients, batch)
    training = Training(rounds=1, local_epochs=1, batch_size=batch, lr=0.002)
    before = resident()
    step = plan_chunk(fed, training).step_bytes
    run_round(fed, training, 1, Chunk(clients))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "weights": sum(t.nbytes for t in clip.model.parameters()),
        "client_step": step,
        "chunk_cpu": min(clients, BUDGET["cpu"] // step),
        "chunk_cuda": min(clients, BUDGET["cuda"] // step),
        "taken": most - before,
        "process": most,
        "test_image": of_a_test_image(fed),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("method")
    parser.add_argument("--backbone", default="ViT-B-16-quickgelu:random")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--limit", type=float)
    given = parser.parse_args()
    if given.limit:
        limit = int(given.limit * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    keep_freed_memory()
    print(json.dumps(measured(given.method, given.backbone, given.clients, given.batch)))


if __name__ == "__main__":
    main()

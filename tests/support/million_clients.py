"""Rounds of very many clients, each with a prompt of its own: `python -m million_clients --help`.

CoOp on the embedded backbone, four random images a client; a thousand clients train in a round, a
thousand are tested after the last one. A line of JSON a round: its seconds and the process's
memory. Killed and called again with the same folder it goes
on, and its last line, a checksum of all that is left, is the same.
"""

from __future__ import annotations

import argparse
import json
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from fplbench.clip.task import PromptTask
from fplbench.engine.chunks import plan_chunk
from fplbench.engine.evaluate import Accuracies
from fplbench.engine.federation import Federation
from fplbench.engine.fit import RoundLog, fit
from fplbench.features import backbones
from fplbench.features.images import Images
from fplbench.plugins import registry
from fplbench.records import checkpoint
from fplbench.records.checkpoint import State
from fplbench.scenario import Clients, Exam, Question
from fplbench.spec import Training

CLASSES = ("red circle", "blue square", "green star", "white cross")
TEST = 40


def federation_of(clients: int, folder: Path) -> Federation:
    backbone = backbones.load("tiny", "cpu")
    noise = torch.Generator().manual_seed(0)
    features = F.normalize(torch.randn(4096, backbone.embed_dim, generator=noise), dim=-1)
    images = Images(labels=np.arange(4096) % len(CLASSES), pooled=features, patches=None)
    task = PromptTask(backbone.text, CLASSES, ("a photo of a {}.",), backbone.logit_scale)
    own = np.random.default_rng(0).integers(4096, size=(clients, 4))
    asked = np.random.default_rng(1).integers(TEST, size=(clients, 4))
    every = np.arange(len(CLASSES))
    question = Question(np.ones((clients, 4), dtype=bool))
    scenario = Clients(
        train_rows=tuple(own),
        train_classes=every,
        class_mask=None,
        exams=(Exam(every, asked, {"local": question}),),
        shared_exams=(),
        client_names=tuple(map(str, range(clients))),
    )
    kind = registry.methods().get("coop")
    method = kind(kind.Config(n_ctx=4))
    cpu = torch.device("cpu")
    return Federation(
        method, lambda _: task, scenario, images, 0, cpu, evaluated=1000, folder=folder
    )


def memory() -> float:
    """MiB of the process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clients", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    federation = federation_of(asked.clients, asked.folder)
    training = Training(
        rounds=asked.rounds,
        local_epochs=1,
        participation=1000 / asked.clients,
        evaluations=1,
        evaluated_clients=1000,
        lr=0.01,
    )
    done, state = 0, checkpoint.read(asked.folder)
    if state is not None:
        federation.load_state_dict(state.tensors)
        done = state.facts["round"]

    def on_round(index: int, log: RoundLog | None, accuracies: Accuracies | None) -> None:
        checkpoint.write(asked.folder, State(federation.state_dict(), {"round": index}))
        seconds = log.seconds if log else 0.0
        print(json.dumps({"round": index, "seconds": seconds, "mib": memory()}), flush=True)

    chunk = plan_chunk(federation, training)
    test = federation.images
    accuracies = fit(federation, training, test, chunk, on_round, done)
    print(json.dumps({"left": left(federation, accuracies)}), flush=True)


def left(federation: Federation, accuracies: Accuracies) -> int:
    """A checksum of the tensors and of the accuracies."""
    total = 0
    for name, t in sorted(federation.tensors().items()):
        total = zlib.crc32(t.numpy().tobytes(), zlib.crc32(name.encode(), total))
    for name, values in sorted(accuracies.items()):
        total = zlib.crc32(values.tobytes(), zlib.crc32(name.encode(), total))
    return total


if __name__ == "__main__":
    main()

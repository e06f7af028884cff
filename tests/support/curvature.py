"""How sharp the clients' losses are on the embedded backbone, beside what SGD bears.

    PYTHONPATH=tests/support python -m curvature [WEIGHTS] [--n-ctx 16]

For PromptFL on `shapes` (seed 100) it prints, at the random start and after some rounds, the
largest curvature of each client's whole loss along the context: the eigenvalue of its Hessian
that is farthest from zero, by power iteration on differences of gradients. SGD with momentum m
and rate r is stable in a direction of curvature below 2 (1 + m) / r alone.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from fplbench.clip.backbone import freeze
from fplbench.clip.task import PromptTask
from fplbench.embedded import tiny
from fplbench.engine.chunks import plan_chunk
from fplbench.engine.federation import Federation
from fplbench.engine.fit import run_round
from fplbench.engine.train import step_gradients
from fplbench.features.cache import features
from fplbench.features.images import Images
from fplbench.plugins import registry
from fplbench.scenarios.base2novel import Base2Novel
from fplbench.spec import Training

ITERATIONS = 10
STEP = 2e-3


def federation(weights: Path, n_ctx: int) -> Federation:
    backbone = freeze("tiny", "tiny", *tiny.load(weights), quick_gelu=False)
    with tempfile.TemporaryDirectory() as cache:
        data = registry.datasets().get("shapes")().load(None, Path(cache))
        found = features(backbone, data, "train", False, Path(cache), "cpu")
        pooled = torch.from_numpy(found.pooled.copy())
    whole = PromptTask(backbone.text, data.classnames, data.templates, backbone.logit_scale)
    method = registry.methods().get("promptfl")
    scenario = Base2Novel(Base2Novel.Config()).build(data, 100)
    return Federation(
        method(method.Config.model_validate({"n_ctx": n_ctx})), whole.subset, scenario,
        Images(data.train.labels, pooled, None), 100, torch.device("cpu"),
    )  # fmt: skip


def sharpest(fed: Federation, client: int) -> float:
    """The eigenvalue of largest size of the Hessian of a client's loss at the server's context."""
    data = fed.local_data([client])
    batch = replace(data.everything(), fixed=fed.models(fed.round_of(torch.tensor([client]), 1),
                                                        data).fixed)  # fmt: skip

    def gradient(ctx: Tensor) -> Tensor:
        return step_gradients(fed.method, {"ctx": ctx}, ("ctx",), batch, fed.task)[1]["ctx"]

    at = fed.server["ctx"][None]
    direction = torch.randn(at.shape, generator=torch.Generator().manual_seed(0))
    found = 0.0
    for _ in range(ITERATIONS):
        direction = direction / direction.norm()
        ahead, behind = (gradient(at + sign * STEP * direction) for sign in (1, -1))
        curved = (ahead - behind) / (2 * STEP)
        found = float((direction * curved).sum())
        direction = curved
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, nargs="?", default=tiny.WEIGHTS)
    parser.add_argument("--n-ctx", type=int, default=tiny.METHOD_DEFAULTS["n_ctx"])
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    fed = federation(options.weights, options.n_ctx)
    training = Training.model_validate(tiny.TRAINING_DEFAULTS)
    chunk = plan_chunk(fed, training)
    print(f"stable below {2 * (1 + training.momentum) / training.lr:.0f} at {training.lr}")
    for done in range(options.rounds + 1):
        if done:
            run_round(fed, training, done, chunk)
        found = sorted((sharpest(fed, client) for client in range(fed.clients)), key=abs)
        print(f"after {done} rounds:", ", ".join(f"{each:.0f}" for each in found), flush=True)


if __name__ == "__main__":
    main()

"""Whether a method's loss can be taken apart into images."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from fplbench import rng
from fplbench.engine.train import by_rows, leaves_of
from fplbench.method import Batch, Method, Task

IMAGES, PATCHES = 3, 4
CLOSE = 1e-3
"""How far float32 may put the two sides apart, relative to their size."""


def is_mean(method: Method, task: Task) -> bool:
    """Whether the loss of a batch is the mean of its images' losses; tried on random images.

    Where it is not, as with a term that compares images with one another, clipping each image's
    gradient bounds nobody's part in the step.
    """
    noise = torch.Generator().manual_seed(0)
    specs = method.init(task, noise)
    batch = _random(method.step_inputs, task, noise)
    params = {name: spec.value[None].to(batch.pooled.device) for name, spec in specs.items()}
    with torch.no_grad():
        received = {name: params[name] for name, spec in specs.items() if spec.shared}
        fixed = method.prepare(params, received, task)
    batch = replace(batch, fixed=fixed)
    trained = [name for name, spec in specs.items() if spec.trained]
    rows = {name: t.repeat_interleave(IMAGES, 0) for name, t in params.items()}
    whole, apart = (
        _total(method.losses(each | leaves_of(each, trained), seen, task))
        for each, seen in ((params, batch), (rows, by_rows(batch)))
    )
    return bool((whole - apart.mean()).abs() <= CLOSE * apart.abs().max())


def _total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum(0).detach()


def _random(inputs: frozenset[str], task: Task, noise: torch.Generator) -> Batch:
    """One client's batch; its class list is the task's."""
    width, shape = task.embed_dim, (1, IMAGES)
    device = task.logit_scale.device

    def unit(*more: int) -> Tensor:
        return F.normalize(torch.randn(*shape, *more, width, generator=noise), dim=-1).to(device)

    embedded = 0.3 * torch.randn(*shape, 1 + PATCHES, task.image_width, generator=noise)
    return Batch(
        mask=torch.ones(shape, dtype=torch.bool, device=device),
        pooled=unit(),
        patches=unit(PATCHES) if "patches" in inputs else None,
        embedded=embedded.to(device) if "pixels" in inputs else None,
        norms=5 + torch.rand(shape, generator=noise).to(device) if "norms" in inputs else None,
        mirrored=unit() if "mirrored" in inputs else None,
        labels=(torch.arange(IMAGES, device=device) % len(task.classnames))[None],
        trained_on=task.classnames,
        clients=torch.zeros(1, dtype=torch.long),
        generator=partial(rng.generator, 0),
    )

"""A method that does everything in a way of its own."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from fplbench.method import Batch, Method, Param, Round, Task, Tensors
from fplbench.prompts import cosine_logits, text_features


class EveryHook(Method):
    """Uses every hook: a server that keeps each client's prompt and sends it to the next one."""

    name = "every_hook"
    title = "Every hook"
    source = "a test"
    inputs = frozenset({"pooled", "patches"})
    variants: ClassVar = {"again": {}}

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        drawn = torch.randn(2, task.width, generator=generator)
        return {
            "ctx": Param(0.02 * drawn),
            "own": Param(drawn.clone(), shared=False, init="per client", lr_scale=0.5),
            "fixed": Param(torch.ones(1), trained=False, shared=False),
        }

    def encode(self, params: Tensors, task: Task) -> Tensors:
        ctx = params["ctx"] + 0.01 * params["own"] + 0.1 * params["expert"]
        return {"t": text_features(ctx, task, "end")}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        assert batch.patches is not None
        images = (batch.pooled + batch.patches.mean(2)) * params["fixed"][:, None]
        logits = cosine_logits(images, text["t"], task)
        known = [name in batch.trained_on for name in task.classnames]
        return logits + torch.tensor(known, device=logits.device)

    def memory(self, task: Task, batch: Batch) -> Tensors:
        return {"images": batch.mask.sum(1)}

    def prepare(self, params: Tensors, received: Tensors, task: Task) -> Tensors:
        return {"received": received["ctx"]}

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        pull = (params["ctx"] - batch.fixed["received"]).square().sum((1, 2))
        return super().losses(params, batch, task) | {"pull": pull / batch.fixed["images"]}

    def gradients(self, by_term: dict[str, Tensors], params: Tensors, batch: Batch) -> Tensors:
        return {name: g / 2 + by_term["pull"][name] for name, g in by_term["ce"].items()}

    def upload(self, params: Tensors, r: Round) -> Tensors:
        noise = torch.stack(
            [torch.randn(2, generator=r.generator("noise", int(c))) for c in r.clients]
        )
        return {"ctx": params["ctx"], "noise": noise}

    def aggregate(self, server: Tensors, uploads: Tensors, r: Round) -> Tensors:
        return {"ctx": uploads["ctx"].mean(0), "noise": uploads["noise"].sum(0)}

    def download(self, server: Tensors, r: Round) -> Tensors:
        return {"ctx": server["ctx"] + 0.001 * r.clients[:, None, None]}

    def merge(self, params: Tensors, received: Tensors) -> Tensors:
        return super().merge(params, received) | {"expert": received["ctx"] - params["ctx"]}

    def shared_only(self, params: Tensors) -> Tensors | None:
        nothing = torch.zeros_like(params["own"])
        return params | {"own": nothing, "expert": nothing}

    def supports(self, task: Task, metric: str, trained: Task) -> bool:
        return metric != "novel" or task.classnames != trained.classnames

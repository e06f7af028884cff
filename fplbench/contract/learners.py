"""What strategies are tried with: methods as plain as can be, one of each kind of division."""

from __future__ import annotations

import torch
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors
from fplbench.prompts import ContextSettings, cosine_logits, start_context, text_features


class Whole(Method):
    """One context for all clients, all of it shared."""

    name = "whole"
    title = "a shared context"
    source = "Zhou et al., IJCV 2022"

    class Config(ContextSettings):
        n_ctx: int = 4

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        return {"ctx": Param(start_context(self.config, task, generator))}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        return {"t": text_features(params["ctx"], task, self.config.position)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, text["t"], task)


class Divided(Whole):
    """A shared context and a private one that is added, a term of the loss of each's own, and
    gradients that are put together by hand."""

    name = "divided"
    title = "a context in two parts"

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        shared = super().init(task, generator)
        return shared | {"own": Param(shared["ctx"].value.clone(), shared=False, lr_scale=2)}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        return super().encode({"ctx": params["ctx"] + params["own"]}, task)

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        small = params["own"].flatten(1).square().sum(1)
        return super().losses(params, batch, task) | {"small": small}

    def gradients(self, by_term: dict[str, Tensors], params: Tensors, batch: Batch) -> Tensors:
        found = super().gradients(by_term, params, batch)
        return {name: g - by_term["small"][name] / 2 for name, g in found.items()}

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params | {"own": torch.zeros_like(params["own"])}


LEARNERS: tuple[type[Method], ...] = (Whole, Divided)

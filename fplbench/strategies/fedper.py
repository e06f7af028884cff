"""FedPer (Arivazhagan et al., 2019) on prompts: the first vectors of a context are shared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from fplbench.method import Param, Round, Task, Tensors
from fplbench.strategies.fedavg import FedAvg

CONTEXT = "ctx"
"""How the names of a method's contexts begin."""


class FedPer(FedAvg):
    """ctx_c = [base][own_c]: the server averages the base, own_c stays on its client.

    The paper shares the base layers of a network and keeps its last ones. On prompts the base is
    the first half of a context's vectors, as in PromptFolio's repository. Tensors that are no
    contexts travel as their method says.
    """

    name = "fedper"
    title = "FedPer"
    source = "Arivazhagan et al., Federated Learning with Personalization Layers, 2019"

    class Config(FedAvg.Config):
        part: float = Field(
            0.5,
            gt=0,
            lt=1,
            description="Share of a context's vectors that travels, rounded down. 0.5: "
            "promptflFedPer.py in PromptFolio's repository.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        specs = super().init(task, generator)
        return {
            name: replace(spec, shared=spec.shared and not self._is_context(name, spec))
            for name, spec in specs.items()
        }

    def refusal(self, specs: Mapping[str, Param]) -> str | None:
        if not any(self._is_context(name, spec) for name, spec in specs.items()):
            return f"none of its tensors is a context, whose name would begin with {CONTEXT}"
        if len({spec.shared for spec in specs.values() if spec.trained}) > 1:
            return "it divides what is shared and what is private itself"
        return super().refusal(specs)

    def _is_context(self, name: str, spec: Param) -> bool:
        return name.startswith(CONTEXT) and spec.trained and spec.value.dim() > 1

    def base(self, ctx: Tensor) -> Tensor:
        """The first vectors of [..., n, d]."""
        return ctx[..., : int(self.config.part * ctx.shape[-2]), :]

    def begin(self, specs: Mapping[str, Param], total: int) -> Tensors:
        bases = {
            name: self.base(spec.value).clone()
            for name, spec in specs.items()
            if self._is_context(name, spec)
        }
        return super().begin(specs, total) | bases

    def upload(self, params: Tensors, r: Round) -> Tensors:
        bases = {n: self.base(t) for n, t in params.items() if self._divides(n, t, r.shared)}
        return super().upload(params, r) | bases

    def _divides(self, name: str, value: Tensor, shared: Collection[str]) -> bool:
        return name.startswith(CONTEXT) and name not in shared and value.dim() > 2

    def merge(self, params: Tensors, received: Tensors) -> Tensors:
        found = dict(params)
        for name, sent in received.items():
            own = (
                params[name][..., sent.shape[-2] :, :] if sent.shape != params[name].shape else None
            )
            found[name] = sent if own is None else torch.cat([sent, own], dim=-2)
        return found

    def alone(self, params: Tensors, shared: Collection[str]) -> Tensors | None:
        """A part of a context is no model."""
        return None

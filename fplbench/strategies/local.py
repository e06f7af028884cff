"""Each client alone: nothing is sent, and a client goes on from its own tensors every round."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch

from fplbench.method import Param, Task, Tensors
from fplbench.strategy import Strategy


class Local(Strategy):
    """w_c <- SGD(w_c) on the client's own images, from the same start for all.

    The baseline of every paper on personalization, trained as long as the federated methods.
    """

    name = "local"
    title = "local training"
    source = "the baseline without federation, e.g. Fallah et al., NeurIPS 2020, section 5"

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        specs = self.learner.init(task, generator)
        return {name: replace(spec, shared=False) for name, spec in specs.items()}

    def alone(self, params: Tensors, shared: Collection[str]) -> Tensors | None:
        """Nothing is shared."""
        return None

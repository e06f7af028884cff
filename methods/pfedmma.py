"""pFedMMA (Ghiasvand et al., 2025): adapters in both towers, joined by a shared projection.

Equations as in the paper, "pFedMMA: Personalized Federated Fine-Tuning with Multi-Modal Adapter for
Vision-Language Models"; details after the authors' code, sajjad-ucsb/pFedMMA at 84197bb.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.clip.layers import linear, start_linear
from fplbench.method import Batch, Method, Param, Settings, Task, Tensors
from fplbench.prompts import cosine_logits


class PFedMMA(Method):
    """core(x) = up(ReLU(shared(ReLU(down(x)))))
               down [w -> a], up [a -> w] of each tower, private; shared [a -> a], one for both
    block i    x' = x + attention(ln_1 x),   out = x' + mlp(ln_2 x') + kappa core_i(ln_1 x)
    place 0    e + kappa core_0(e), of the embedded words and of the image's first norm

    Adapters' weights get the gradient as if kappa were 1, x the true one (not at place 0).
    The text is constant words before the class name. logits_k = s v . t_k, cross-entropy.
    """

    name = "pfedmma"
    title = "pFedMMA"
    source = (
        "Ghiasvand et al., pFedMMA: Personalized Federated Fine-Tuning with Multi-Modal Adapter "
        "for Vision-Language Models, 2025"
    )
    inputs = frozenset({"pixels"})
    variants: ClassVar = {"all": {"first": 0, "kappa": 0.1}}

    class Config(Settings):
        first: int = Field(
            4,
            ge=0,
            description="The first place with adapters: 0 the embedding, i the i-th block. 4: "
            "federated_main.py:674; the tower's middle where it has no more blocks than that.",
        )
        last: int = Field(
            12, ge=1, description="The last place, at most the tower's. 12: federated_main.py:675."
        )
        dim: int = Field(32, ge=1, description="a, the bottleneck. 32: federated_main.py:676.")
        kappa: float = Field(
            0.001, gt=0, description="kappa, the adapters' scale. 0.001: federated_main.py:677."
        )
        words: str = Field(
            "a photo of a", description="Before the class name. 'a photo of a': the code."
        )

    config: Config

    def places(self, task: Task) -> list[int]:
        """Where adapters are, in both towers."""
        most = min(task.layers)
        first = self.config.first if self.config.first <= most else (most + 1) // 2
        return list(range(first, min(self.config.last, most) + 1))

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        count, a = len(self.places(task)), self.config.dim
        specs = {}
        for tower, width in (("text", task.width), ("image", task.image_width)):
            for name, out, given in ((f"{tower}_down", a, width), (f"{tower}_up", width, a)):
                drawn = [start_linear(out, given, generator) for _ in range(count)]
                weights, biases = (torch.stack(each) for each in zip(*drawn, strict=True))
                specs[name] = Param(weights, shared=False)
                specs[f"{name}_bias"] = Param(biases, shared=False)
        drawn = [start_linear(a, a, generator) for _ in range(count)]
        weights, biases = (torch.stack(each) for each in zip(*drawn, strict=True))
        return specs | {"shared": Param(weights), "shared_bias": Param(biases)}

    def adapters(
        self, params: Tensors, tower: str, task: Task
    ) -> dict[int, Callable[[Tensor], Tensor]]:
        """place -> kappa core, of tokens [C, T, w]."""

        def adapter(place: int, row: int) -> Callable[[Tensor], Tensor]:
            def core(x: Tensor) -> Tensor:
                # In float64: a bias's gradient is a sum over all tokens, most of which cancels.
                y = x.double()
                for name in (f"{tower}_down", "shared", f"{tower}_up"):
                    weight, bias = params[name][:, row], params[f"{name}_bias"][:, row]
                    y = linear(y, weight.double(), bias.double())
                    y = y if name.endswith("_up") else F.relu(y)
                return y.to(x.dtype)

            kappa = self.config.kappa
            if place == 0:
                return lambda x: kappa * core(x)

            def scaled(x: Tensor) -> Tensor:
                # The value of kappa core(x); its gradient to the weights is that of core.
                found = core(kappa * x + (1 - kappa) * x.detach())
                return found + (kappa - 1) * found.detach()

            return scaled

        return {place: adapter(place, row) for row, place in enumerate(self.places(task))}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        count = len(params["shared"])
        empty = params["shared"].new_zeros(count, 1, 0, task.width)
        names = [f"{self.config.words} {name}" for name in task.classnames]
        adapters = self.adapters(params, "text", task)
        found = task.encode_prompts(empty, names=names, adapters=adapters)
        return {"t": F.normalize(found.squeeze(1), dim=-1)}

    def images(self, params: Tensors, batch: Batch, task: Task) -> Tensor:
        """v, [C, B, D], unit length."""
        assert batch.embedded is not None
        adapters = self.adapters(params, "image", task)
        found = task.encode_images(batch.embedded, adapters=adapters)
        return F.normalize(found.squeeze(1), dim=-1)

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(self.images(params, batch, task), text["t"], task)

"""FedDDA: a prompt with a private style, and image adapters that a private gate mixes.

Equations and details after the authors' code, MoratalYang/FedDDA at 3c79f0a, trainers/FEDDDA.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.clip.layers import linear, start_linear
from fplbench.method import Batch, Method, Param, Task, Tensors
from fplbench.prompts import ContextSettings, cosine_logits, start_context


class FedDDA(Method):
    """Prompt   [SOS][ctx_shared][CLASS] with a style of [ctx_private].
    image    f' = p_0 f + p_1 own(f) + p_2 shared(f),   (p_0, p_1, p_2) = softmax(gate f)
             adapter(f) = ReLU(W_2 ReLU(W_1 f)),   f: the image's feature, not of unit length
    logits_k = s unit(f') . t_k, cross-entropy. ctx_shared and the shared adapter are averaged.
    """

    name = "feddda"
    title = "FedDDA"
    source = "the code of FedDDA, MoratalYang/FedDDA, 2025"
    inputs = frozenset({"pooled", "norms"})

    class Config(ContextSettings):
        style: str = Field(
            "with a style of",
            description="Words between class name and private context. The published ones.",
        )
        reduction: int = Field(
            4, ge=1, description="The adapters' width is the joint width over this. 4: FEDDDA.py."
        )

    config: Config

    def unfit(self) -> str | None:
        if self.config.position == "end":
            return None
        return "its prompt has an order of its own; leave the setting position out"

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        d = task.embed_dim
        hidden = max(1, d // self.config.reduction)
        specs = {"ctx_shared": Param(start_context(self.config, task, generator))}
        specs["ctx_private"] = Param(start_context(self.config, task, generator), shared=False)
        for who in ("shared", "own"):
            for name, out, given in ((f"{who}_w1", hidden, d), (f"{who}_w2", d, hidden)):
                weight, _ = start_linear(out, given, generator)
                specs[name] = Param(weight, shared=who == "shared")
        return specs | {"gate": Param(start_linear(3, d, generator)[0], shared=False)}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        both = torch.cat([params["ctx_shared"], params["ctx_private"]], dim=1)[:, None]
        # "middle" puts the first half before the words and the second behind them.
        names = [f"{name} {self.config.style}" for name in task.classnames]
        found = task.encode_prompts(both, "middle", names)
        return {"t": F.normalize(found.squeeze(1), dim=-1)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        assert batch.norms is not None
        f = batch.pooled * batch.norms[..., None]
        own, shared = (
            F.relu(linear(F.relu(linear(f, params[f"{who}_w1"])), params[f"{who}_w2"]))
            for who in ("own", "shared")
        )
        p = linear(f, params["gate"]).softmax(-1)
        mixed = p[..., :1] * f + p[..., 1:2] * own + p[..., 2:] * shared
        return cosine_logits(F.normalize(mixed, dim=-1), text["t"], task)

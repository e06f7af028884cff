"""FedPHA for clients with prompts of different length (Fang et al., ICML 2025).

Equations as in the paper, "FedPHA: Federated Prompt Learning for Heterogeneous Client Adaptation";
details after the authors' code, CYFang6/FedPHA at 1ab33df, trainers/GL_SVDMSE_HE.py.
"""

from __future__ import annotations

from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from fplbench.method import Batch, Param, Read, Task, Tensors, cross_entropy
from fplbench.methods.fedpha import FedPHA
from fplbench.prompts import INIT_STD, cosine_logits


class FedPHAHE(FedPHA):
    """FedPHA, each client's p_L of a length that it draws once; p_G has n vectors for all.

    The projector is of the d dimensions and the losses are of text features, so that no equation
    changes: each of p_L, p_G and p_P is read at its own end.
    """

    name = "fedpha_he"
    title = "FedPHA-HE"
    variants: ClassVar = {
        "published": {"projector": "published", "read": "longest", "shortest": 2, "longest": 6}
    }

    class Config(FedPHA.Config):
        shortest: int = Field(
            4, ge=1, description="Least length of a client's prompt. 4: federated_main.py:171."
        )
        longest: int = Field(
            32, ge=1, description="Largest length of a client's prompt. 32: federated_main.py:171."
        )
        read: Read = Field(
            "own",
            description="Where a prompt is read. own: at its own end. longest: where the longest "
            "prompt would end, among the padding, as GL_SVDMSE_HE.py:105-125 does by mistake.",
        )

        @model_validator(mode="after")
        def _range(self) -> Self:
            if self.shortest > self.longest:
                both = f"shortest is {self.shortest} and longest {self.longest}"
                raise ValueError(f"{both}: give the shorter first")
            return self

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        least, most = self.config.shortest, self.config.longest
        shared = super().init(task, generator)["ctx_global"]
        # Clients are one tensor: all have room for the longest prompt, and use what is theirs.
        room = torch.empty(max(most, len(shared.value)), task.width)
        length = torch.randint(least, most + 1, (), generator=generator)
        return {
            "ctx_global": shared,
            "ctx_local": Param(room.normal_(0, INIT_STD, generator=generator), shared=False),
            "length": Param(length, trained=False, shared=False, init="per client"),
        }

    def features(self, prompts: list[Tensor], lengths: list[Tensor], task: Task) -> Tensor:
        """[C, N, K, D], unit length, of N prompts, each [C, n, d], and how many vectors of each
        are a client's, each [C]."""
        most = max(prompt.shape[1] for prompt in prompts)
        every = torch.stack([F.pad(p, (0, 0, 0, most - p.shape[1])) for p in prompts], dim=1)
        found = task.encode_prompts(
            every, self.config.position, lengths=torch.stack(lengths, dim=1), read=self.config.read
        )
        return F.normalize(found, dim=-1)

    def encode(self, params: Tensors, task: Task) -> Tensors:
        return {"t": self.features([params["ctx_local"]], [params["length"]], task).squeeze(1)}

    def all_features(self, params: Tensors, task: Task) -> Tensor:
        """t_L, t_G and t_P, [C, 3, K, D]."""
        local, whole, own = params["ctx_local"], params["ctx_global"], params["length"]
        prompts = [local, whole, self.projected(local, whole)]
        return self.features(prompts, [own, torch.full_like(own, whole.shape[1]), own], task)

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        t_local, t_global, t_projected = self.all_features(params, task).unbind(1)
        of_local, of_global = (
            cross_entropy(cosine_logits(batch.pooled, t, task), batch) for t in (t_local, t_global)
        )
        apart = (t_local - t_global).norm(dim=-1)
        return {
            "ce": of_local,
            "ce_global": of_global,
            "pull": self.config.pull * (t_local - t_projected).square().mean((1, 2)),
            "push": self.config.push * F.relu(self.config.alpha - apart).mean(1),
        }

    def shared_only(self, params: Tensors) -> Tensors | None:
        """p_G in the private prompt's place."""
        whole, room = params["ctx_global"], params["ctx_local"].shape[1]
        return params | {
            "ctx_local": F.pad(whole, (0, 0, 0, room - whole.shape[1])),
            "length": torch.full_like(params["length"], whole.shape[1]),
        }

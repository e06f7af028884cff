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

from fplbench.method import Batch, Method, Param, Read, Task, Tensors, cross_entropy
from fplbench.prompts import INIT_STD, ContextSettings, cosine_logits, start_context


class FedPHAHE(Method):
    """p_G [n, d] shared, p_L [n_c, d] private, its length n_c drawn by each client once;
    p_G = U S V', V_1 its first c = n (1 - ratio) right vectors

    projected   p_P = p_L (I - V_1 V_1')
    loss        CE(t_L) + CE(t_G) + mean (t_L - t_P)^2 + mean_k ReLU(alpha - ||t_L - t_G||)
    tested      t_L alone

    The gradient goes through the decomposition to p_G. Each prompt is read at its own end.
    """

    name = "fedpha_he"
    title = "FedPHA-HE"
    source = (
        "Fang et al., FedPHA: Federated Prompt Learning for Heterogeneous Client Adaptation, "
        "ICML 2025"
    )
    variants: ClassVar = {
        "published": {
            "projector": "published",
            "least_removed": 0,
            "read": "longest",
            "shortest": 2,
            "longest": 6,
        }
    }

    class Config(ContextSettings):
        shortest: int = Field(
            4, ge=1, description="Least length of a client's prompt. 4: federated_main.py:171."
        )
        longest: int = Field(
            32, ge=1, description="Largest length of a client's prompt. 32: federated_main.py:171."
        )
        alpha: float = Field(1.0, ge=0, description="Margin of the push. 1: federated_main.py:498.")
        ratio: float = Field(
            0.8,
            gt=0,
            le=1,
            description="Share of the right vectors that is left to the private prompt. 0.8: "
            "federated_main.py:499.",
        )
        least_removed: int = Field(
            1,
            ge=0,
            description="How many right vectors are taken out at least: int(n (1 - ratio)) is 0 "
            "for few. 0: as published, where nothing is projected then.",
        )
        projector: str = Field(
            "null_space",
            pattern="null_space|published",
            description="null_space: I - V_1 V_1', as the paper says. published: V_2 V_2' of the "
            "last n - c right vectors, which also drops all that is orthogonal to p_G.",
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
        shared = start_context(self.config, task, generator)
        # Clients are one tensor: all have room for the longest prompt, and use what is theirs.
        room = torch.empty(max(most, len(shared)), task.width)
        length = torch.randint(least, most + 1, (), generator=generator)
        return {
            "ctx_global": Param(shared),
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

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, text["t"], task)

    def cut(self, n: int) -> int:
        """c, how many of n right vectors are taken out; in floating point, as published."""
        return max(self.config.least_removed, int(n * (1 - self.config.ratio)))

    def projected(self, local: Tensor, whole: Tensor) -> Tensor:
        """p_P, [C, n, d]."""
        _, _, right = torch.linalg.svd(whole, full_matrices=False)  # V', [C, n, d]
        cut = self.cut(whole.shape[1])
        published = self.config.projector == "published"
        kept = right[:, cut:] if published else right[:, :cut]
        along: Tensor = local @ kept.mT @ kept
        return along if published else local - along

    def every_feature(self, params: Tensors, task: Task) -> Tensor:
        """t_L, t_G and t_P, [C, 3, K, D]."""
        local, whole, own = params["ctx_local"], params["ctx_global"], params["length"]
        prompts = [local, whole, self.projected(local, whole)]
        return self.features(prompts, [own, torch.full_like(own, whole.shape[1]), own], task)

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        t_local, t_global, t_projected = self.every_feature(params, task).unbind(1)
        of_local, of_global = (
            cross_entropy(cosine_logits(batch.pooled, t, task), batch) for t in (t_local, t_global)
        )
        apart = (t_local - t_global).norm(dim=-1)
        return {
            "ce": of_local,
            "ce_global": of_global,
            "pull": (t_local - t_projected).square().mean((1, 2)),
            "push": F.relu(self.config.alpha - apart).mean(1),
        }

    def shared_only(self, params: Tensors) -> Tensors | None:
        """p_G in the private prompt's place."""
        whole, room = params["ctx_global"], params["ctx_local"].shape[1]
        return params | {
            "ctx_local": F.pad(whole, (0, 0, 0, room - whole.shape[1])),
            "length": torch.full_like(params["length"], whole.shape[1]),
        }

"""ProDA (Lu et al., CVPR 2022): a distribution of prompts, by the features of many.

Equations as in the paper, "Prompt Distribution Learning"; the authors' code lies in an archive that
was not read, so details are those of a third party's port, LAMDASZ-ML/BMIPRS at 88a82b0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Position, Settings, Task, Tensors, cross_entropy
from fplbench.prompts import INIT_STD, cosine_logits


class ProDA(Method):
    """Prompts 1 ... N, a quarter with the name in front, a quarter in the middle, half at the end.

    A step takes B_p of them, t_jk their text features, unit length:
    mu_k = mean_j t_jk,   S_kl = sum_j (t_jk - mu_k) (t_jl - mu_l) / (B_p + 1), for each feature
    z_k = s v . mu_k + (s^2 / 2) sum_e v_e^2 (S_yy + S_kk - 2 S_yk)_e      y: the label
    L = cross-entropy of z + alpha mean_{i != j} |cos(q_i, q_j)|           q: prompts without a name
    A prediction is by the mean over all N, s v . mean_j t_jk.
    """

    name = "proda"
    title = "ProDA"
    source = "Lu et al., Prompt Distribution Learning, CVPR 2022"
    variants: ClassVar = {"part": {"prompts": 8, "prompt_batch": 4}, "one": {"prompts": 1}}

    class Config(Settings):
        n_ctx: int = Field(
            16, ge=1, description="Context vectors in a prompt. 16: train.py:252 of the port."
        )
        prompts: int = Field(
            32, ge=1, description="N, prompts. 32: the paper and train.py:251 of the port."
        )
        prompt_batch: int = Field(
            4,
            ge=1,
            description="B_p, prompts of a step, the same for all clients. 4: ours; the port "
            "takes as many as the batch has images.",
        )
        alpha: float = Field(
            0.1, ge=0, description="Weight of the diversity. 0.1: the paper; the port has none."
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        ctx = torch.empty(self.config.prompts, self.config.n_ctx, task.width)
        return {"ctx": Param(ctx.normal_(0, INIT_STD, generator=generator))}

    def positions(self) -> list[Position]:
        """Of each prompt."""
        count = self.config.prompts
        quarter = count // 4
        front: list[Position] = ["front"] * quarter
        middle: list[Position] = ["middle"] * quarter
        end: list[Position] = ["end"] * (count - 2 * quarter)
        return [*front, *middle, *end]

    def features(self, ctx: Tensor, task: Task, chosen: Sequence[int]) -> Tensor:
        """[C, J, K, D], unit length, of some of the prompts; they come by their positions."""
        positions = self.positions()
        parts = []
        for position in dict.fromkeys(positions):
            places = [j for j in chosen if positions[j] == position]
            if places:
                index = torch.tensor(places, device=ctx.device)
                parts.append(task.encode_prompts(ctx.index_select(1, index), position))
        return F.normalize(torch.cat(parts, dim=1), dim=-1)

    def encode(self, params: Tensors, task: Task) -> Tensors:
        every = range(self.config.prompts)
        return {"t": self.features(params["ctx"], task, every).mean(1)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, text["t"], task)

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        chosen = self.prompts_of_a_step(batch)
        text = self.features(params["ctx"], task, chosen)
        ce = cross_entropy(self.train_logits(text, batch, task), batch)
        return {"ce": ce, "diversity": self.config.alpha * self.diversity(params["ctx"], task)}

    def prompts_of_a_step(self, batch: Batch) -> list[int]:
        """B_p of N: a permutation cut into parts that are taken in turn, then another one."""
        count, size = self.config.prompts, min(self.config.prompt_batch, self.config.prompts)
        turn, part = divmod(batch.step, max(1, count // size))
        order = batch.draw(
            "prompts", lambda g: torch.randperm(count, generator=g), turn, alike=True
        )
        return order[0, part * size : (part + 1) * size].tolist()

    def train_logits(self, text: Tensor, batch: Batch, task: Task) -> Tensor:
        """z, [C, B, K], of text features [C, J, K, D]."""
        assert batch.labels is not None
        mean = text.mean(1)  # [C, K, D]
        apart = text - mean[:, None]
        squares = batch.pooled.square()  # v_e^2, [C, B, D]
        own = torch.einsum("cbe,cjke->cbk", squares, apart.square())  # v^2 S_kk (B_p + 1)
        index = batch.labels[:, None, :, None].expand(-1, apart.shape[1], -1, apart.shape[3])
        of_label = apart.gather(2, index)  # [C, J, B, D]
        both = torch.einsum("cbe,cjbe,cjke->cbk", squares, of_label, apart)
        spread = own.gather(2, batch.labels[..., None]) + own - 2 * both
        scale = task.logit_scale
        upper = scale**2 / 2 * spread / (text.shape[1] + 1)
        return cosine_logits(batch.pooled, mean, task) + upper

    def diversity(self, ctx: Tensor, task: Task) -> Tensor:
        """[C]: mean |cos| of two different prompts without a class name."""
        count = ctx.shape[1]
        if count == 1:
            return ctx.new_zeros(len(ctx))
        q = F.normalize(task.encode_prompts(ctx, "end", names=[""]).squeeze(2), dim=-1)
        cosines = (q @ q.transpose(1, 2)).abs()
        apart = ~torch.eye(count, dtype=torch.bool, device=ctx.device)
        return (cosines * apart).sum((1, 2)) / (count * (count - 1))

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params

"""ProGrad (Zhu et al., ICCV 2023): no step against what zero-shot CLIP knows.

Equations as in the paper, "Prompt-aligned Gradient for Prompt Tuning"; details after the authors'
code, BeierZhu/Prompt-align at 1b76203.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors, cross_entropy, masked_mean
from fplbench.prompts import ContextSettings, behind, cosine_logits, start_context, text_features


class ProGrad(Method):
    """g = grad L_ce,   h = grad L_kl,   both over all that is trained

    L_kl = -T^2 mean_x sum_k softmax(z0 / T)_k log softmax(z / T)_k      z0: zero-shot logits
    step along g                                   if g . h >= 0          (equation 4)
               g - lambda (g . h / ||h||^2) h      otherwise

    L_kl is never descended. Weight decay and momentum come after the projection.
    """

    name = "prograd"
    title = "ProGrad"
    source = "Zhu et al., Prompt-aligned Gradient for Prompt Tuning, ICCV 2023"
    variants: ClassVar = {"half": {"lam": 0.5, "temperature": 2.0}, "words": {"fixed_words": "a"}}

    class Config(ContextSettings):
        lam: float = Field(
            1.0,
            ge=0,
            description="lambda, how much of the conflict is taken out. 1: train.py:115 and "
            "scripts/prograd.sh.",
        )
        temperature: float = Field(
            1.0, gt=0, description="T. 1: the T of the published configuration, rn50.yaml."
        )
        fixed_words: str = Field(
            "",
            description="Constant words between context and class name. Empty: the paper. The "
            "published code leaves the last word of some templates there.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        return {"ctx": Param(start_context(self.config, task, generator))}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        names = behind(self.config.fixed_words, task)
        return {"t": text_features(params["ctx"], task, self.config.position, names)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, text["t"], task)

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        logits = self.logits(params, self.encode(params, task), batch, task)
        teacher = cosine_logits(batch.pooled, task.clip_text_features, task)
        return {"ce": cross_entropy(logits, batch), "kl": self.divergence(logits, teacher, batch)}

    def divergence(self, logits: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """[C]: L_kl of logits [C, B, K]; the teacher's entropy, a constant, is not taken off."""
        if batch.class_mask is not None:
            left_out = ~batch.class_mask[:, None]
            logits, teacher = (z.masked_fill(left_out, float("-inf")) for z in (logits, teacher))
        t = self.config.temperature
        shares, logs = (teacher / t).softmax(-1), (logits / t).log_softmax(-1)
        each = torch.where(shares > 0, shares * logs, 0).sum(-1)
        return -(t**2) * masked_mean(each, batch.mask)

    def gradients(self, by_term: dict[str, Tensors], params: Tensors, batch: Batch) -> Tensors:
        ce, kl = by_term["ce"], by_term["kl"]
        dot, square = (
            torch.stack([(a[n] * kl[n]).flatten(1).sum(1) for n in ce]).sum(0) for a in (ce, kl)
        )
        against = dot.clamp(max=0) / square.clamp(min=torch.finfo(square.dtype).tiny)
        return {
            n: g - self.config.lam * against.view(-1, *[1] * (g.dim() - 1)) * kl[n]
            for n, g in ce.items()
        }

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params

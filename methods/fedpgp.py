"""FedPGP (Cui et al., ICML 2024): a shared prompt plus a low-rank part of each client's own.

Equations as in the paper, "Harmonizing Generalization and Personalization in Federated Prompt
Learning"; details after the authors' code, TianyuCuiOvO/FedPGP at d43045b.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors, cross_entropy
from fplbench.prompts import (
    INIT_STD,
    ContextSettings,
    cosine_logits,
    start_context,
    text_features,
)


class FedPGP(Method):
    """personal prompt  p_c = sigma + U_c V_c,   sigma shared, U_c [n, b] and V_c [b, d] private

    loss         L = L_ce(p_c) + mu L_con
    contrastive  L_con = -log( exp(cos(t_sigma, t_clip) / tau)
                               / (exp(cos(t_sigma, t_clip) / tau)
                                  + exp(cos(t_sigma, t_p) / tau)) ),   the mean over classes
    """

    name = "fedpgp"
    title = "FedPGP"
    source = (
        "Cui et al., Harmonizing Generalization and Personalization in Federated Prompt Learning, "
        "ICML 2024"
    )
    variants: ClassVar = {
        "no_contrast": {"mu": 0},
        "placeholder": {"guidance": "placeholder"},
        "front": {"position": "front"},
    }

    class Config(ContextSettings):
        rank: int = Field(
            8,
            ge=1,
            description="b, the rank of U V. 8: BOTTLENECK in the published script "
            "(plot_basetonew_base.sh); its argument's default is 4.",
        )
        mu: float = Field(
            0.5,
            ge=0,
            description="Weight of the contrastive term. 0.5: MU in the published script; its "
            "argument's default is 1.",
        )
        tau: float = Field(
            0.5,
            gt=0,
            description="Temperature of the contrastive term. 0.5: TEMP in the published script "
            "and its argument's default.",
        )
        guidance: Literal["template", "placeholder"] = Field(
            "template",
            description="Whose text features the shared prompt is pulled to. template: the data "
            "set's hand-written ones, as the paper says. placeholder: the text 'X X ... X name.', "
            "as the published code does.",
        )
        uv_lr: float = Field(
            1.0,
            gt=0,
            description="Learning rate of U and V over that of sigma. 1: the published code has "
            "one rate for all; docs/methods.md shows what others do.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        # sigma is drawn first, so that it is PromptFL's context under the same seed.
        sigma = start_context(self.config, task, generator)
        length, width = sigma.shape
        u = torch.empty(length, self.config.rank).normal_(0, INIT_STD, generator=generator)
        v = torch.empty(self.config.rank, width).normal_(0, INIT_STD, generator=generator)
        own = {name: Param(x, shared=False, lr_scale=self.config.uv_lr) for name, x in
               (("U", u), ("V", v))}  # fmt: skip
        return {"sigma": Param(sigma), **own}

    def personal(self, params: Tensors) -> Tensor:
        """[C, n, d]: sigma + U V."""
        return params["sigma"] + params["U"] @ params["V"]

    def encode(self, params: Tensors, task: Task) -> Tensors:
        return {"t": text_features(self.personal(params), task, self.config.position)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, text["t"], task)

    def prepare(self, params: Tensors, received: Tensors, task: Task) -> Tensors:
        """The guidance t_clip, [C, K, D]."""
        if self.config.mu == 0:
            return {}
        count, length, _ = params["sigma"].shape
        if self.config.guidance == "template":
            clip = task.clip_text_features
        else:
            names = (name.replace("_", " ") for name in task.classnames)
            clip = task.encode_texts([f"{'X ' * length}{name}." for name in names])
        return {"t_clip": clip.expand(count, *clip.shape)}

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        if self.config.mu == 0:  # the shared prompt's text features would be of no use
            return super().losses(params, batch, task)
        both = torch.stack([self.personal(params), params["sigma"]], dim=1)
        text = F.normalize(task.encode_prompts(both, self.config.position), dim=-1)
        t_personal, t_sigma = text.unbind(1)
        ce = cross_entropy(self.logits(params, {"t": t_personal}, batch, task), batch)
        con = self.contrastive(t_sigma, batch.fixed["t_clip"], t_personal)
        return {"ce": ce, "contrastive": self.config.mu * con}

    def contrastive(self, t_sigma: Tensor, t_clip: Tensor, t_personal: Tensor) -> Tensor:
        """[C], from text features [C, K, D]: -log(e^a / (e^a + e^b)) = log(1 + e^(b - a))."""
        pull = F.cosine_similarity(t_sigma, t_clip, dim=-1)
        push = F.cosine_similarity(t_sigma, t_personal, dim=-1)
        return F.softplus((push - pull) / self.config.tau).mean(1)

    def shared_only(self, params: Tensors) -> Tensors | None:
        """sigma alone: U V = 0."""
        return params | {name: torch.zeros_like(params[name]) for name in ("U", "V")}

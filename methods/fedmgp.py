"""FedMGP (Bo et al., NeurIPS 2025): groups of prompts, of which a client shares the most common.

Equations as in the paper, "FedMGP: Personalized Federated Learning with Multi-Group Text-Visual
Prompts"; details after the authors' code, weihao-bo/FedMGP at 3a02697.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.method import (
    Batch,
    Method,
    Param,
    Round,
    Task,
    Tensors,
    cross_entropy,
    equal_weights,
    masked_mean,
)
from fplbench.prompts import INIT_STD, ContextSettings, behind, start_context

KINDS = ("ctx", "ctx_vision")
GLOBAL, CHOSEN, KNOWN = "global_", "chosen_", "known"


class FedMGP(Method):
    """G groups, each a text prompt and an image prompt: t_g [K, D], v_g [B, D], unit length.

    logits = mean_g s v_g t_g';   L = mean_g CE(s v_g t_g') + w D
    D = -(mean distance of two groups' text features + the same of image features) / 2
    A client sends k groups of each kind: at first random ones, later drawn without replacement
    from softmax(sim / tau), sim_g the largest cosine of its group g to the last global groups.
    The server averages by rank; a client puts global group j into the place of its j-th choice.
    """

    name = "fedmgp"
    title = "FedMGP"
    source = (
        "Bo et al., FedMGP: Personalized Federated Learning with Multi-Group Text-Visual Prompts, "
        "NeurIPS 2025"
    )
    inputs = frozenset({"pixels"})
    variants: ClassVar = {
        "published": {"sign": "published"},
        "cos": {"distance": "cos", "probabilistic": False, "groups": 3},
    }

    class Config(ContextSettings):
        groups: int = Field(
            5, ge=2, description="G, groups of a client. 5: base2novel_vit_b16.yaml."
        )
        n_ctx_vision: int = Field(
            2, ge=1, description="Vectors of an image prompt. 2: base2novel_vit_b16.yaml."
        )
        topk: int = Field(2, ge=1, description="k, groups that travel. 2: base2novel_vit_b16.yaml.")
        tau: float = Field(1.0, gt=0, description="Temperature of the choice. 1: the same yaml.")
        highest: bool = Field(
            True, description="Whether the groups most like the global ones are sent. True: yaml."
        )
        probabilistic: bool = Field(
            True, description="Whether they are drawn, or the k best taken. True: the same yaml."
        )
        divergence_weight: float = Field(
            1.0, ge=0, description="w, weight of D. 1: base2novel_vit_b16.yaml."
        )
        distance: Literal["l1", "l2", "cos"] = Field(
            "l1", description="Of two groups' features. l1: the same yaml."
        )
        sign: Literal["apart", "published"] = Field(
            "apart",
            description="apart: the loss falls with the distance, as the paper says. published: "
            "trainers/fedmgp.py:333-342 takes an absolute value, and the loss rises with it.",
        )
        fixed_words: str = Field(
            "",
            description="Constant words between context and class name. Empty: ours, as for all "
            "methods; the published default, of 'a photo of a' and 2 vectors, keeps 'of a'.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        config = self.config
        drawn = [start_context(config, task, generator) for _ in range(config.groups)]
        image = torch.empty(config.groups, config.n_ctx_vision, task.image_width)
        values = {
            "ctx": torch.stack(drawn),
            "ctx_vision": image.normal_(0, INIT_STD, generator=generator),
        }
        specs = {name: Param(value, shared=False) for name, value in values.items()}
        nothing = torch.full([min(config.topk, config.groups)], -1)
        for kind in KINDS:
            specs[f"{CHOSEN}{kind}"] = Param(nothing, trained=False, shared=False)
        return specs

    def encode(self, params: Tensors, task: Task) -> Tensors:
        names = behind(self.config.fixed_words, task)
        found = task.encode_prompts(params["ctx"], self.config.position, names)
        return {"t": F.normalize(found, dim=-1)}  # [C, G, K, D]

    def images(self, params: Tensors, batch: Batch, task: Task) -> Tensor:
        """v_g, [C, G, B, D]."""
        assert batch.embedded is not None
        return F.normalize(task.encode_images(batch.embedded, params["ctx_vision"]), dim=-1)

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return (task.logit_scale * self.images(params, batch, task) @ text["t"].mT).mean(1)

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        text, images = self.encode(params, task)["t"], self.images(params, batch, task)
        each = task.logit_scale * images @ text.mT  # [C, G, B, K]
        ce = torch.stack([cross_entropy(z, batch) for z in each.unbind(1)]).mean(0)
        of_text = self.distances(text).mean(1)
        of_images = masked_mean(self.distances(images), batch.mask)
        sign = -1 if self.config.sign == "apart" else 1
        apart = sign * (of_text + of_images) / 2
        return {"ce": ce, "divergence": self.config.divergence_weight * apart}

    def distances(self, features: Tensor) -> Tensor:
        """[C, M], the mean over pairs of groups, of features [C, G, M, D]."""
        count = features.shape[1]
        first, second = torch.triu_indices(count, count, 1, device=features.device)
        one, other = features.index_select(1, first), features.index_select(1, second)
        if self.config.distance == "l1":
            each = (one - other).abs().mean(-1)
        elif self.config.distance == "l2":
            each = ((one - other).square().sum(-1) + 1e-8).sqrt()
        else:
            each = 1 - F.cosine_similarity(one, other, dim=-1)
        return each.mean(1)

    def begin(self, specs: Mapping[str, Param], total: int) -> Tensors:
        """No global groups yet."""
        k = min(self.config.topk, self.config.groups)
        groups = {kind: torch.zeros_like(specs[kind].value[:k]) for kind in KINDS}
        return groups | {KNOWN: torch.tensor(False)}

    def merge(self, params: Tensors, received: Tensors) -> Tensors:
        """Global group j in the place of the client's j-th choice; the groups lie beside."""
        merged = dict(params)
        for kind in KINDS:
            own, chosen, sent = params[kind], params[f"{CHOSEN}{kind}"], received[kind]
            there = (chosen >= 0) & received[KNOWN][:, None]
            lines = chosen.clamp(min=0).view(*chosen.shape, 1, 1).expand_as(sent)
            kept = own.gather(1, lines)
            values = torch.where(there[..., None, None], sent, kept)
            merged[kind] = own.scatter(1, lines, values)
            merged[f"{GLOBAL}{kind}"] = sent
        return merged | {KNOWN: received[KNOWN]}

    def similarities(self, groups: Tensor, globals_: Tensor) -> Tensor:
        """sim, [C, G], of groups [C, G, n, d] and the global ones [C, k, n, d]."""
        own, others = (F.normalize(t.flatten(2), dim=-1) for t in (groups, globals_))
        found = (own @ others.mT).amax(-1)
        return found if self.config.highest else -found

    def probabilities(self, similar: Tensor) -> Tensor:
        """[C, G]."""
        return (similar / self.config.tau).softmax(-1)

    def end_round(self, params: Tensors, r: Round) -> Tensors:
        """Which groups are sent."""
        return {
            f"{CHOSEN}{kind}": torch.stack(
                [
                    self.choice(params, kind, row, r.generator("groups", client))
                    for row, client in enumerate(r.clients.tolist())
                ]
            ).to(params[kind].device)
            for kind in KINDS
        }

    def choice(self, params: Tensors, kind: str, row: int, g: torch.Generator) -> Tensor:
        """[k]: the choice of the client in that row."""
        k = params[f"{CHOSEN}{kind}"].shape[1]
        if not bool(params[KNOWN][row]):
            return torch.randperm(self.config.groups, generator=g)[:k]
        one = slice(row, row + 1)
        similar = self.similarities(params[kind][one], params[f"{GLOBAL}{kind}"][one])[0]
        if not self.config.probabilistic:
            return similar.topk(k).indices.cpu()
        return torch.multinomial(self.probabilities(similar).cpu(), k, generator=g)

    def upload(self, params: Tensors, r: Round) -> Tensors:
        """The chosen groups, in the order of the choice."""
        return {
            kind: params[kind].gather(
                1,
                params[f"{CHOSEN}{kind}"][..., None, None].expand(-1, -1, *params[kind].shape[2:]),
            )
            for kind in KINDS
        }

    def weights(self, r: Round) -> Tensor:
        return equal_weights(r)

    def aggregate(self, server: Tensors, uploads: Tensors, r: Round) -> Tensors:
        return super().aggregate(server, uploads, r) | {KNOWN: torch.tensor(True)}

"""FOCoOp (Liao et al., ICML 2025): prompts of classes against prompts of what is no class.

Equations and details after the authors' code, PengyangZhou/FOCoOp at f30f6f3; of the paper,
"FOCoOp: Enhancing Out-of-Distribution Robustness in Federated Prompt Learning for Vision-Language
Models", the abstract was read and no equation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.errors import UserError
from fplbench.method import Batch, Method, Param, Task, Tensors, masked_mean
from fplbench.methods._words import WORDS
from fplbench.plugins.files import UserFile, text_of
from fplbench.prompts import ContextSettings, cosine_logits, start_context, text_features

START, TINY = 1e-4, 1e-8
"""Size of a perturbation before its first step; what an objective has to move by, and what is added
to a norm: src/algorithms/FOCoOp/loss.py, generate_adl."""
STEP, RADIUS, MOST = 0.005, 10.0, 10.0
"""beta, rho and gamma's upper end: loss.py, BiDRO."""
COLDEST = 1e-6
"""Least temperature t: gamma_2 ends at 0, where the published loss is 0 times infinity. The limit
is the worst image's loss."""
NEAR = 0.95
"""How alike a word is to the classes: the cosine that this share of them stays below; from
src/models/clip_fedlapt.py."""


class FOCoOp(Method):
    """Of a class   a_k = text([(1 - frac) local_k + frac global_k][name_k].)
    of none      o_j = text([ood_j][word_j].), of words that name no class
    z = s v [a + eps_a; o + eps_o]',   det = logsumexp(z_o) - mean(z_o)       of each image

    eps_a        4 steps, of length 1 a row, up CE(z at eps_o = 0) - gamma_1 mean ||eps_a,k||
    eps_o        then as many up CE(z) + det - gamma_2 mean ||eps_o,j||;   both are constant then
    gamma_i      gamma_i - beta (rho - r_i) within [0, 10],   r_1, r_2: mean |eps_a|, mean |eps_o|
    L            t log sum_b exp((CE_b + det_b / 2) / t) - gamma_1 r_1 - gamma_2 r_2,
                 t = tau gamma_2,   b: images of the batch
    tested       s v . a_k

    global and ood are averaged; local and the gammas stay on the client.
    """

    name = "focoop"
    title = "FOCoOp"
    source = (
        "Liao et al., FOCoOp: Enhancing Out-of-Distribution Robustness in Federated Prompt "
        "Learning for Vision-Language Models, ICML 2025"
    )
    variants: ClassVar = {
        "published": {"penalty": "published", "num_ood": 4},
        "one_context": {"csc": False, "num_ood": 4},
    }

    class Config(ContextSettings):
        frac: float = Field(
            0.2, ge=0, le=1, description="Share of global in a class's prompt. 0.2: config.py:18."
        )
        num_ood: int = Field(
            100, ge=1, description="O, prompts of no class. 100: config.py:15, num_ex_prompt."
        )
        words: UserFile = Field(
            "",
            description="Text file of words, one a line; the O least like the class names stand "
            "behind the contexts of no class. Empty: a list of ours. The code's are WordNet's.",
        )
        csc: bool = Field(
            True,
            description="A context for each class and word. True: what the published server "
            "compares; its argument's default is one context for everything (config.py:52).",
        )
        gamma_1: float = Field(
            10.0, ge=0, le=MOST, description="gamma_1 before the first step. 10: config.py:91."
        )
        gamma_2: float = Field(
            10.0, ge=0, le=MOST, description="gamma_2 before the first step. 10: config.py:92."
        )
        tau: float = Field(
            0.1, gt=0, description="Temperature over gamma_2. 0.1: config.py:96, the argument."
        )
        iterations: int = Field(
            4, ge=0, description="Steps of a perturbation. 4: client_focoop.py, num_iteration."
        )
        penalty: Literal["own", "published"] = Field(
            "own",
            description="Of eps_o's ascent. own: the norm of eps_o, as of eps_a. published: that "
            "of eps_a again (loss.py), a constant, so that nothing holds eps_o.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        config = self.config
        classes, words = (len(task.classnames), config.num_ood) if config.csc else (None, None)
        ctx = start_context(config, task, generator, classes)
        return {
            "ctx_local": Param(ctx, shared=False),
            "ctx_global": Param(ctx.clone()),
            "ctx_ood": Param(start_context(config, task, generator, words)),
            # The loss's gradient to the gammas is -r; a rate of 0 leaves their step to after_step.
            "gamma": Param(
                torch.tensor([config.gamma_1, config.gamma_2]),
                shared=False,
                lr_scale=0.0,
                decay_scale=0.0,
            ),
            "words": Param(self.far(task), trained=False, shared=False),
        }

    def candidates(self) -> list[str]:
        """The words to choose from, each once."""
        if not self.config.words:
            return list(WORDS)
        lines = (line.strip().replace("_", " ") for line in text_of(self.config.words).splitlines())
        return list(dict.fromkeys(line for line in lines if line))

    def far(self, task: Task) -> Tensor:
        """[O], places among the candidates: the words furthest from the class names, by the
        cosine that 95 in 100 classes stay below."""
        words = self.candidates()
        names = [name.replace("_", " ") for name in task.classnames]
        texts = [f"The nice {text}." for text in (*words, *names)]
        found = F.normalize(task.encode_texts(texts).float().cpu(), dim=-1)
        alike = (found[: len(words)] @ found[len(words) :].mT).sort(dim=1).values
        near = alike[:, int(NEAR * len(names))]
        free = torch.tensor([word not in names for word in words])
        count = self.config.num_ood
        if int(free.sum()) < count:
            where = self.config.words.rpartition("#")[0] or "the list that comes with FOCoOp"
            raise UserError(
                f"num_ood is {count}, but {where} has {int(free.sum())} words that name no class: "
                "lower num_ood, or name a file with more words (--set focoop.words=FILE)."
            )
        return (
            near.masked_fill(~free, float("inf")).topk(count, largest=False).indices.sort().values
        )

    def encode(self, params: Tensors, task: Task) -> Tensors:
        frac = self.config.frac
        ctx = (1 - frac) * params["ctx_local"] + frac * params["ctx_global"]
        return {"t": text_features(ctx, task, self.config.position)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, text["t"], task)

    def others(self, params: Tensors, task: Task) -> Tensor:
        """o, [C, O, D]."""
        words = self.candidates()
        chosen = [words[place] for place in params["words"][0].tolist()]  # the same for all clients
        return text_features(params["ctx_ood"], task, self.config.position, chosen)

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        # From the features on in float64: tau gamma_2 is small beside the losses that it divides.
        a, o = self.encode(params, task)["t"].double(), self.others(params, task).double()
        eps_a, eps_o = self.adversary(a.detach(), o.detach(), params["gamma"].detach(), batch, task)
        radii = torch.stack([self.radius(eps_a, batch), eps_o.abs().mean((1, 2))], dim=1)
        # The published order: the gammas take their step before they weigh.
        gamma = params["gamma"] + (self.stepped(params["gamma"], radii) - params["gamma"]).detach()
        ce, det = self.each(a + eps_a, o + eps_o, batch, task)
        cold = (self.config.tau * gamma[:, 1:].detach()).clamp(min=COLDEST)
        of_images = ((ce + det / 2) / cold).masked_fill(~batch.mask, float("-inf"))
        worst = cold[:, 0] * of_images.logsumexp(1)
        terms = {"worst": worst, "radius": -(gamma * radii).sum(1)}
        return {name: term.to(batch.pooled.dtype) for name, term in terms.items()}

    def after_step(self, params: Tensors, grads: Tensors, batch: Batch) -> Tensors:
        return {"gamma": self.stepped(params["gamma"], -grads["gamma"])}

    def stepped(self, gamma: Tensor, radii: Tensor) -> Tensor:
        """The gammas, [C, 2], a step on."""
        return (gamma - STEP * (RADIUS - radii)).clamp(0, MOST)

    def each(self, a: Tensor, o: Tensor, batch: Batch, task: Task) -> tuple[Tensor, Tensor]:
        """CE and det of each image, [C, B] both, for features of classes and of no class."""
        assert batch.labels is not None
        z = cosine_logits(batch.pooled.to(a.dtype), torch.cat([a, o], dim=1), task)
        of_classes, of_none = z.split([a.shape[1], o.shape[1]], dim=-1)
        if batch.class_mask is not None:
            of_classes = of_classes.masked_fill(~batch.class_mask[:, None], float("-inf"))
        whole = torch.cat([of_classes, of_none], dim=-1).logsumexp(-1)
        ce = whole - of_classes.gather(2, batch.labels[..., None]).squeeze(2)
        return ce, of_none.logsumexp(-1) - of_none.mean(-1)

    def radius(self, eps: Tensor, batch: Batch, norms: bool = False) -> Tensor:
        """[C]: the mean of |eps|, [C, K, D], over the classes that a client trains among: of its
        numbers, or of its rows' norms."""
        rows = eps.norm(dim=-1) if norms else eps.abs().mean(-1)
        return rows.mean(1) if batch.class_mask is None else masked_mean(rows, batch.class_mask)

    def adversary(
        self, a: Tensor, o: Tensor, gamma: Tensor, batch: Batch, task: Task
    ) -> tuple[Tensor, Tensor]:
        """eps_a, [C, K, D], and eps_o, [C, O, D], constant."""

        def of_classes(eps: Tensor) -> Tensor:
            ce, _ = self.each(a + eps, o, batch, task)
            return masked_mean(ce, batch.mask) - gamma[:, 0] * self.radius(eps, batch, norms=True)

        def of_none(eps: Tensor) -> Tensor:
            ce, det = self.each(a + eps_a, o + eps, batch, task)
            found = masked_mean(ce + det, batch.mask)
            if self.config.penalty == "own":
                found = found - gamma[:, 1] * eps.norm(dim=-1).mean(1)
            return found

        eps_a = self.ascent(of_classes, self.start("noise_id", a, batch))
        return eps_a, self.ascent(of_none, self.start("noise_ood", o, batch))

    def start(self, purpose: str, features: Tensor, batch: Batch) -> Tensor:
        """A perturbation before its first step."""
        shape = features.shape[1:]
        drawn = batch.draw(purpose, lambda g: torch.rand(shape, generator=g))
        return START * drawn.to(features.dtype)

    def ascent(self, objective: Callable[[Tensor], Tensor], eps: Tensor) -> Tensor:
        """eps, [C, ., D], after its steps. A client whose objective, [C], stays still has done."""
        moving = torch.ones(len(eps), 1, 1, dtype=torch.bool, device=eps.device)
        before = None
        for _ in range(self.config.iterations):
            eps = eps.detach().requires_grad_()
            found = objective(eps)
            (grad,) = torch.autograd.grad(found.sum(), eps)
            with torch.no_grad():
                step = grad / (grad.norm(dim=-1, keepdim=True) + TINY)
                eps = torch.where(moving, eps + step, eps)
                if before is not None:
                    moving = moving & ((found - before).abs() >= TINY).view(-1, 1, 1)
                before = found
        return eps.detach()

    def shared_only(self, params: Tensors) -> Tensors | None:
        """global in the place of local."""
        return params | {"ctx_local": params["ctx_global"]}

    def supports(self, task: Task, metric: str, trained: Task) -> bool:
        """Contexts of the trained classes say nothing about others."""
        return not self.config.csc or task.classnames == trained.classnames

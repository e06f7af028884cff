"""FedMVP (Singha et al., ICCV 2025): image prompts made of the image and of words on classes.

Equations and details after the authors' code, mainaksingha01/FedMVP at 246800e, model/FedMVP.py; of
the paper, "FedMVP: Federated Multimodal Visual Prompt Tuning for Vision-Language Models", the
abstract was read and no equation.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.clip.layers import attention, layer_norm, linear, start_linear, start_xavier
from fplbench.errors import UserError
from fplbench.method import (
    Batch,
    Method,
    Param,
    Round,
    Settings,
    Task,
    Tensors,
    cross_entropy,
    equal_weights,
    masked_mean,
)
from fplbench.plugins.files import UserFile, json_of
from fplbench.prompts import cosine_logits


class FedMVP(Method):
    """A [L, D]: unit features of sentences about the classes, frozen.
    p [P, w]: an image's patches with their positions, before the first norm.

    context    c = W_c A + b_c
    prompts    x = FF(a) + a,  a = MHA(LN(p), LN(c), c);   means of x over 4 runs of patches,
               put behind the patches;   v: the image's feature with them
    logits_k   mean over the sentences l of class k of s v . A_l
    L          CE + alpha (1 - mean cos(v, v0)),   v0: CLIP's own feature of the image, the batch
               mirrored half of the time

    FF(z) = W_2 (a GELU(g)) + b_2, (a, g) = halves of W_1 LN(z) + b_1, as FedTPG's. Keys are the
    sentences of the classes that a client trains among, in predictions of those asked about. All of
    the generator is shared, and all clients count alike.
    """

    name = "fedmvp"
    title = "FedMVP"
    source = (
        "Singha et al., FedMVP: Federated Multimodal Visual Prompt Tuning for Vision-Language "
        "Models, ICCV 2025"
    )
    inputs = frozenset({"pixels", "mirrored"})
    variants: ClassVar = {"small": {"tokens": 2, "heads": 2, "ff_mult": 1}}

    class Config(Settings):
        descriptions: UserFile = Field(
            "",
            description="JSON file, {class name: [text, ...]}, with every class that is trained or "
            "asked about. Empty: the data set's own templates. The published files are not here.",
        )
        wording: Literal["attributes", "sentences"] = Field(
            "attributes",
            description="Of the file's texts. attributes: put behind 'a photo of a NAME, which "
            "has', as model/descriptors.py does. sentences: as they are, {} standing for the name.",
        )
        alpha: float = Field(
            10.0, ge=0, description="Weight of the consistency. 10: config/defaults.py:101."
        )
        tokens: int = Field(
            4, ge=1, description="Prompts of an image. 4: model/FedMVP.py, AdaptiveAvgPool1d."
        )
        heads: int = Field(
            4, ge=1, description="Heads of the attention. 4: model/FedMVP.py, CrossAttention."
        )
        ff_mult: int = Field(
            4, ge=1, description="Hidden width of FF over w. 4: model/FedMVP.py, FeedForward."
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        self.sentences(task)  # what a file lacks is said before anything is trained
        w, hidden = task.image_width, self.config.ff_mult * task.image_width
        if w % self.config.heads:
            raise UserError(
                f"heads is {self.config.heads}, which does not divide the image tower's width {w}: "
                "choose another number (method fedmvp)."
            )
        given, given_bias = start_linear(w, task.embed_dim, generator)
        every = {
            "linear": given,
            "linear_bias": given_bias,
            "norm": torch.ones(w),
            "norm_bias": torch.zeros(w),
            "norm_context": torch.ones(w),
            "norm_context_bias": torch.zeros(w),
            "qkv": start_xavier(3 * w, w, generator),
            "qkv_bias": torch.zeros(3 * w),
            "out": start_linear(w, w, generator)[0],
            "out_bias": torch.zeros(w),
            "ff_norm": torch.ones(w),
            "ff_norm_bias": torch.zeros(w),
        }
        every["ff_w1"], every["ff_b1"] = start_linear(2 * hidden, w, generator)
        every["ff_w2"], every["ff_b2"] = start_linear(w, hidden, generator)
        return {
            name: Param(value, idle=name == "norm_context_bias") for name, value in every.items()
        }

    def sentences(self, task: Task) -> list[list[str]]:
        """What is said of each class. UserError: the file does not say it."""
        names = [name.replace("_", " ") for name in task.classnames]
        if not self.config.descriptions:
            both = zip(names, task.own_templates, strict=True)
            return [[each.replace("{}", name) for each in own] for name, own in both]
        path, _, _ = self.config.descriptions.rpartition("#")
        found = json_of(self.config.descriptions)
        if not isinstance(found, dict):
            raise UserError(f"{path} is no JSON object: write {{class name: [text, ...]}} into it.")
        texts = {name.replace("_", " "): value for name, value in found.items()}
        for name in names:
            said = texts.get(name)
            if not isinstance(said, list) or not said or not all(isinstance(t, str) for t in said):
                raise UserError(
                    f"{path} has no list of texts for the class {name!r}: add one, or leave out "
                    "--set fedmvp.descriptions to use the data set's templates."
                )
        if self.config.wording == "sentences":
            return [[text.replace("{}", name) for text in texts[name]] for name in names]
        return [[f"a photo of a {name}, {clause(text)}" for text in texts[name]] for name in names]

    def described(self, task: Task) -> tuple[Tensor, Tensor]:
        """A, [L, D], and each sentence's share in the mean of its class, [K, L]."""
        of_classes = self.sentences(task)
        texts = [text for texts in of_classes for text in texts]
        features = F.normalize(task.encode_texts(texts), dim=-1)
        rows = [torch.full([len(texts)], 1 / len(texts)) for texts in of_classes]
        return features, torch.block_diag(*rows).to(features)

    def keys(
        self, params: Tensors, features: Tensor, shares: Tensor, mask: Tensor | None = None
    ) -> Tensors:
        """The attention's keys and values, [C, L, w], and each class's text t, [C, K, D].

        features: [C, L, D], shares: [C, K, L]; mask: [C, K], the classes whose sentences are keys.
        """
        w, p = params["linear"].shape[1], in_double(params)
        context = linear(features.double(), p["linear"], p["linear_bias"])
        # This bias adds the same to a query's products with all keys, which no softmax sees: its
        # gradient would be rounding alone.
        normed = layer_norm(context, p["norm_context"], p["norm_context_bias"].detach())
        weights, biases = p["qkv"].split(w, 1), p["qkv_bias"].split(w, 1)
        found = {
            "keys": linear(normed, weights[1], biases[1]),
            "values": linear(context, weights[2], biases[2]),
            "t": shares @ features,
        }
        if mask is not None:
            found["known"] = (mask[:, :, None] & (shares > 0)).any(1)
        return found

    def encode(self, params: Tensors, task: Task) -> Tensors:
        count = len(params["linear"])
        features, shares = (each.expand(count, *each.shape) for each in self.described(task))
        return self.keys(params, features, shares)

    def prompts(self, params: Tensors, text: Tensors, batch: Batch) -> Tensor:
        """[C, B, tokens, w]."""
        assert batch.embedded is not None
        patches = batch.embedded[:, :, 1:]  # without the class token
        count, w = patches.shape[2:]
        p = in_double(params)
        normed = layer_norm(patches.flatten(1, 2).double(), p["norm"], p["norm_bias"])
        asked = linear(normed, p["qkv"][:, :w], p["qkv_bias"][:, :w])
        found = attention(asked, text["keys"], text["values"], self.config.heads, text.get("known"))
        a = linear(found.to(patches.dtype), params["out"], params["out_bias"])
        x = (feed_forward(a, params) + a).unflatten(1, (-1, count))
        runs: Tensor = F.adaptive_avg_pool1d(x.flatten(0, 1).mT, self.config.tokens).mT
        return runs.view(*x.shape[:2], *runs.shape[1:])

    def images(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        """v, [C, B, D], unit length."""
        assert batch.embedded is not None
        prompts = self.prompts(params, text, batch)
        # Every image has prompts of its own, as clients have: images take the clients' axis.
        embedded, prompts = batch.embedded.flatten(0, 1), prompts.flatten(0, 1)
        found = task.encode_images(embedded[:, None], prompts[:, None])
        return F.normalize(found.view(*batch.mask.shape, -1), dim=-1)

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(self.images(params, text, batch, task), text["t"], task)

    def prepare(self, params: Tensors, received: Tensors, task: Task) -> Tensors:
        """A, [C, L, D], and the shares, [C, K, L], of training."""
        count = len(params["linear"])
        features, shares = (each.expand(count, *each.shape) for each in self.described(task))
        return {"sentences": features, "shares": shares}

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        assert batch.mirrored is not None
        sentences, shares = batch.fixed["sentences"], batch.fixed["shares"]
        text = self.keys(params, sentences, shares, batch.class_mask)
        v = self.images(params, text, batch, task)
        ce = cross_entropy(cosine_logits(v, text["t"], task), batch)
        flip = batch.draw("flip", lambda g: torch.rand((), generator=g) < 0.5)
        v0 = torch.where(flip[:, None, None], batch.mirrored, batch.pooled)
        consistency = 1 - masked_mean((v * v0).sum(-1), batch.mask)
        return {"ce": ce, "consistency": self.config.alpha * consistency}

    def weights(self, r: Round) -> Tensor:
        return equal_weights(r)

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params


def feed_forward(x: Tensor, p: Tensors) -> Tensor:
    """FF(x) = W_2 (a GELU(g)) + b_2."""
    normed = layer_norm(x, p["ff_norm"], p["ff_norm_bias"])
    a, g = linear(normed, p["ff_w1"], p["ff_b1"]).chunk(2, dim=-1)
    return linear(a * F.gelu(g), p["ff_w2"], p["ff_b2"])


def in_double(params: Tensors) -> Tensors:
    """The attention's tensors in float64: all patches ask nearly the same of all sentences, so that
    its gradients are what is left of sums that cancel."""
    names = ("linear", "linear_bias", "norm", "norm_bias", "norm_context", "norm_context_bias")
    return {name: params[name].double() for name in (*names, "qkv", "qkv_bias")}


def clause(attribute: str) -> str:
    """An attribute behind a class name, by the rules of model/descriptors.py."""
    if attribute.startswith(("a", "used")):
        return f"which is {attribute}"
    if attribute.startswith(("has", "often", "typically", "may", "can")):
        return f"which {attribute}"
    return f"which has {attribute}"

"""FedTPG (Qiu et al., ICLR 2024): a shared generator makes the prompt from the class names.

Equations as in the paper, "Federated Text-driven Prompt Generation for Vision-Language Models";
details after the authors' code, boschresearch/FedTPG at f141c29.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.clip.layers import attention, layer_norm, linear, start_linear, start_xavier
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
)
from fplbench.prompts import INIT_STD, cosine_logits, text_features


class FedTPG(Method):
    """T [K, D]: unit features of the bare class names, frozen. Q: learned queries, n of them.

    A = MHA(LN(Q), LN(T), LN(T)),   x = FF(A) + A,   FF(z) = W_2 (a GELU(g)) + b_2,
    (a, g) = halves of W_1 LN(z) + b_1;   then `depth` blocks x <- MHA(LN(x)) + x, x <- FF(x) + x.
    x is the context of every class; cross-entropy. Keys are the names of the classes that a
    client trains among, in predictions those asked about. The whole generator is shared, and the
    server's mean counts all clients alike.
    """

    name = "fedtpg"
    title = "FedTPG"
    source = (
        "Qiu et al., Federated Text-driven Prompt Generation for Vision-Language Models, ICLR 2024"
    )
    variants: ClassVar = {
        "deep": {"depth": 1, "d_ctx": 2, "n_ctx": 3, "ff_mult": 1},
    }

    class Config(Settings):
        n_ctx: int = Field(4, ge=1, description="n, context vectors. 4: config/defaults.py:63.")
        heads: int = Field(4, ge=1, description="Heads of the attention. 4: model/prompt_net.py.")
        ff_mult: int = Field(
            4, ge=1, description="Hidden width of FF over d. 4: model/prompt_net.py."
        )
        depth: int = Field(
            0, ge=0, description="Self-attention blocks after it. 0: config/defaults.py:67."
        )
        d_ctx: int = Field(
            1,
            ge=1,
            description="Contexts. 1: config/defaults.py:64. With more, context i + 1 takes the "
            "context's place at the input of layer i of the text tower, as published, so that the "
            "first one is never read.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        config, d, given = self.config, task.width, task.embed_dim
        queries = torch.empty(config.n_ctx * config.d_ctx, d)
        every = {"queries": queries.normal_(0, INIT_STD, generator=generator)}
        every |= {
            "q": start_xavier(d, d, generator),
            "k": start_xavier(d, given, generator),
            "v": start_xavier(d, given, generator),
            "qkv_bias": torch.zeros(3 * d),
            "out": start_linear(d, d, generator)[0],
            "out_bias": torch.zeros(d),
            "norm": torch.ones(d),
            "norm_bias": torch.zeros(d),
            "norm_names": torch.ones(given),
            "norm_names_bias": torch.zeros(given),
        }
        every |= self._feed_forward("ff", d, generator)
        for i in range(config.depth):
            every |= {
                f"block{i}_norm": torch.ones(d),
                f"block{i}_norm_bias": torch.zeros(d),
                f"block{i}_qkv": start_xavier(3 * d, d, generator),
                f"block{i}_qkv_bias": torch.zeros(3 * d),
                f"block{i}_out": start_linear(d, d, generator)[0],
                f"block{i}_out_bias": torch.zeros(d),
            }
            every |= self._feed_forward(f"block{i}_ff", d, generator)
        return {name: Param(value) for name, value in every.items()}

    def _feed_forward(self, name: str, d: int, generator: torch.Generator) -> Tensors:
        w1, b1 = start_linear(2 * self.config.ff_mult * d, d, generator)
        w2, b2 = start_linear(d, self.config.ff_mult * d, generator)
        return {
            f"{name}_norm": torch.ones(d),
            f"{name}_norm_bias": torch.zeros(d),
            f"{name}_w1": w1,
            f"{name}_b1": b1,
            f"{name}_w2": w2,
            f"{name}_b2": b2,
        }

    def context(self, params: Tensors, names: Tensor, mask: Tensor | None = None) -> Tensor:
        """[C, d_ctx, n, d]. names: T, [K, D]; mask: [C, K], the classes that are keys."""
        d, dtype = params["queries"].shape[-1], params["queries"].dtype
        # In float64, which costs next to nothing for so few tokens: the generator's gradients are
        # sums that cancel, and in float32 their last digits are lost.
        p, names = {name: value.double() for name, value in params.items()}, names.double()
        keys = layer_norm(
            names.expand(len(p["q"]), *names.shape), p["norm_names"], p["norm_names_bias"]
        )
        of_q, of_k, of_v = p["qkv_bias"].split(d, dim=1)
        asked = linear(layer_norm(p["queries"], p["norm"], p["norm_bias"]), p["q"], of_q)
        found = attention(
            asked,
            linear(keys, p["k"], of_k),
            linear(keys, p["v"], of_v),
            self.config.heads,
            mask,
        )
        x = linear(found, p["out"], p["out_bias"])
        x = feed_forward(x, p, "ff") + x
        for i in range(self.config.depth):
            normed = layer_norm(x, p[f"block{i}_norm"], p[f"block{i}_norm_bias"])
            q, k, v = linear(normed, p[f"block{i}_qkv"], p[f"block{i}_qkv_bias"]).split(d, dim=-1)
            found = attention(q, k, v, self.config.heads)
            x = linear(found, p[f"block{i}_out"], p[f"block{i}_out_bias"]) + x
            x = feed_forward(x, p, f"block{i}_ff") + x
        contexts: Tensor = x.unflatten(1, (self.config.d_ctx, self.config.n_ctx))
        return contexts.to(dtype)

    def prompted(self, contexts: Tensor, task: Task) -> Tensors:
        """Text features behind contexts [C, d_ctx, n, d]."""
        first, *others = contexts.unbind(1)
        return {"t": text_features(first, task, "end", deep=dict(enumerate(others)))}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        return self.prompted(self.context(params, bare_names(task)), task)

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, text["t"], task)

    def prepare(self, params: Tensors, received: Tensors, task: Task) -> Tensors:
        """T, [C, K, D]."""
        names = bare_names(task)
        return {"names": names.expand(len(params["q"]), *names.shape)}

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        contexts = self.context(params, batch.fixed["names"][0], batch.class_mask)
        logits = self.logits(params, self.prompted(contexts, task), batch, task)
        return {"ce": cross_entropy(logits, batch)}

    def weights(self, r: Round) -> Tensor:
        return equal_weights(r)

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params


def bare_names(task: Task) -> Tensor:
    """T, [K, D], unit length: the class names without template or full stop."""
    found = task.encode_texts([name.replace("_", " ") for name in task.classnames])
    return F.normalize(found, dim=-1)


def feed_forward(x: Tensor, p: Tensors, name: str) -> Tensor:
    """W_2 (a GELU(g)) + b_2."""
    normed = layer_norm(x, p[f"{name}_norm"], p[f"{name}_norm_bias"])
    a, g = linear(normed, p[f"{name}_w1"], p[f"{name}_b1"]).chunk(2, dim=-1)
    return linear(a * F.gelu(g), p[f"{name}_w2"], p[f"{name}_b2"])

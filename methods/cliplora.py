"""CLIP-LoRA (Zanella and Ben Ayed, CVPR Workshops 2024): low-rank changes of the attention.

"Low-Rank Few-Shot Adaptation of Vision-Language Models"; defaults and the scale after the authors'
code, MaxZanella/CLIP-LoRA (loralib/layers.py at 68033ea, run_utils.py at 5f32cce).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.clip.layers import start_linear
from fplbench.method import Batch, Method, Param, Settings, Task, Tensors, cross_entropy
from fplbench.prompts import cosine_logits

MATRICES = ("queries", "keys", "values")


class CLIPLoRA(Method):
    """W + gamma B A   for W of queries, keys and values, in every block of both towers
                    A [r, w], B [w, r], gamma = alpha / sqrt(r)
    in a local step  x W' + gamma drop(x) A' B', with a dropout of its own for each W
    logits_k = s v . t_k, cross-entropy; the text is constant words before the class name.

    A and B are trained and sent, and the server takes the mean of each.
    """

    name = "cliplora"
    title = "CLIP-LoRA"
    source = (
        "Zanella and Ben Ayed, Low-Rank Few-Shot Adaptation of Vision-Language Models, CVPR "
        "Workshops 2024"
    )
    inputs = frozenset({"pixels"})
    variants: ClassVar = {"without dropout": {"dropout": 0, "rank": 3}}

    class Config(Settings):
        rank: int = Field(
            2, ge=1, description="r, the rank of each change B A. 2: run_utils.py:35."
        )
        alpha: float = Field(
            1, gt=0, description="alpha in gamma = alpha / sqrt(r). 1: run_utils.py:36."
        )
        dropout: float = Field(
            0.25,
            ge=0,
            lt=1,
            description="Share of the entries of x that a local step leaves out. 0.25: "
            "run_utils.py:37.",
        )
        words: str = Field(
            "a photo of a",
            description="Before the class name. 'a photo of a': the code's, for every data set.",
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        specs, r = {}, self.config.rank
        widths = {"text": task.width, "image": task.image_width}
        for (tower, w), layers in zip(widths.items(), task.layers, strict=True):
            drawn = [start_linear(r, w, generator)[0] for _ in range(layers * len(MATRICES))]
            specs[f"{tower}_A"] = Param(torch.stack(drawn).view(layers, len(MATRICES), r, w))
            specs[f"{tower}_B"] = Param(torch.zeros(layers, len(MATRICES), w, r))
        return specs

    def changes(
        self, params: Tensors, tower: str, batch: Batch | None
    ) -> dict[int, Callable[[Tensor], Tensor]]:
        """layer -> gamma drop(x) A' B' of tokens x [C, T, w], for all three W, [C, T, 3 w].

        batch: of a local step; without one, or in predictions, nothing is dropped.
        """
        gamma = self.config.alpha / math.sqrt(self.config.rank)

        def change(layer: int) -> Callable[[Tensor], Tensor]:
            a, b = params[f"{tower}_A"][:, layer], params[f"{tower}_B"][:, layer]

            def added(x: Tensor) -> Tensor:
                given = x.to(a.dtype)
                if batch is not None and batch.training and self.config.dropout:
                    kept = self.dropped(given, f"{tower} {layer}", batch)
                    low = torch.einsum("cjtw,cjrw->cjtr", kept, a) / (1 - self.config.dropout)
                else:
                    low = torch.einsum("ctw,cjrw->cjtr", given, a)
                found = torch.einsum("cjtr,cjwr->ctjw", gamma * low, b)
                return found.flatten(2).to(x.dtype)

            return added

        return {layer: change(layer) for layer in range(params[f"{tower}_A"].shape[1])}

    def dropped(self, x: Tensor, where: str, batch: Batch) -> Tensor:
        """[C, 3, T, w]: x [C, T, w] for each W, a share of its entries 0 by chance.

        Token by token, so that the images behind a client's own do not change its draw.
        """

        def draw(g: torch.Generator) -> Tensor:
            return torch.rand(x.shape[1:], generator=g) >= self.config.dropout

        kept = [batch.draw(f"{where} {each}", draw) for each in MATRICES]
        return x[:, None] * torch.stack(kept, dim=1)

    def text_features(self, params: Tensors, task: Task, batch: Batch | None = None) -> Tensor:
        """t, [C, K, D], unit length."""
        words = task.embed_words(self.config.words)
        ctx = words.expand(len(params["text_A"]), 1, -1, -1)
        found = task.encode_prompts(ctx, projections=self.changes(params, "text", batch))
        return F.normalize(found.squeeze(1), dim=-1)

    def images(self, params: Tensors, batch: Batch, task: Task) -> Tensor:
        """v, [C, B, D], unit length."""
        assert batch.embedded is not None
        changes = self.changes(params, "image", batch)
        found = task.encode_images(batch.embedded, projections=changes)
        return F.normalize(found.squeeze(1), dim=-1)

    def encode(self, params: Tensors, task: Task) -> Tensors:
        return {"t": self.text_features(params, task)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(self.images(params, batch, task), text["t"], task)

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        text = {"t": self.text_features(params, task, batch)}
        return {"ce": cross_entropy(self.logits(params, text, batch, task), batch)}

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params

"""FedCLIP (Lu et al., 2023): an attention adapter on image features, averaged over the clients."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fplbench.clip.layers import linear, start_linear
from fplbench.method import Batch, Method, Param, Task, Tensors
from fplbench.prompts import cosine_logits


class FedCLIP(Method):
    """att(v) = softmax(W_2 tanh(W_1 v + b_1) + b_2),   v* = att(v) o v

    logits_k = s unit(v*) . t_k,   t_k of the data set's templates, frozen; cross-entropy. The
    adapter alone is trained and sent, and the server takes the mean weighted by images. No code
    of the authors was read.
    """

    name = "fedclip"
    title = "FedCLIP"
    source = (
        "Lu et al., FedCLIP: Fast Generalization and Personalization for CLIP in Federated "
        "Learning, IEEE Data Engineering Bulletin 2023"
    )

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        w1, b1 = start_linear(task.embed_dim, task.embed_dim, generator)
        w2, b2 = start_linear(task.embed_dim, task.embed_dim, generator)
        return {n: Param(t) for n, t in {"w1": w1, "b1": b1, "w2": w2, "b2": b2}.items()}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        hidden = torch.tanh(linear(batch.pooled, params["w1"], params["b1"]))
        shares = linear(hidden, params["w2"], params["b2"]).softmax(-1)
        attended = F.normalize(shares * batch.pooled, dim=-1)
        return cosine_logits(attended, task.clip_text_features, task)

    def shared_only(self, params: Tensors) -> Tensors | None:
        return params

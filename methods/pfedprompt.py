"""pFedPrompt (Guo et al., WWW 2023): a shared prompt and each client's memory of its images.

No code was published. docs/methods.md lists what the paper leaves open and what was chosen here;
the memory has the form of Tip-Adapter (Zhang et al., ECCV 2022), equations 3 to 5.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.method import Batch, Method, Param, Task, Tensors
from fplbench.prompts import ContextSettings, cosine_logits, start_context, text_features


class PFedPrompt(Method):
    """What all users agree on is learned in the text, what is a user's own lies in its images.

    logits = scale * cos(v, t) + alpha * sum_s exp(-beta (1 - cos(v, key_s))) onehot(label_s)

    t: text features with the shared context, trained and averaged as PromptFL's.
    key_s, label_s: features and labels of the client's own training images.
    """

    name = "pfedprompt"
    title = "pFedPrompt"
    source = (
        "Guo et al., pFedPrompt: Learning Personalized Prompt for Vision-Language Models in "
        "Federated Learning, WWW 2023"
    )

    class Config(ContextSettings):
        alpha: float = Field(
            1.0, ge=0, description="Weight of the memory. 1: Tip-Adapter's default; 0: PromptFL."
        )
        beta: float = Field(
            5.5, gt=0, description="Sharpness of the memory's affinity. 5.5: Tip-Adapter's default."
        )

    config: Config

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        return {"ctx": Param(start_context(self.config, task, generator))}

    def memory(self, task: Task, batch: Batch) -> Tensors:
        assert batch.labels is not None
        return {"keys": batch.pooled, "labels": batch.labels, "stored": batch.mask}

    def encode(self, params: Tensors, task: Task) -> Tensors:
        return {"t": text_features(params["ctx"], task, self.config.position)}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        logits = cosine_logits(batch.pooled, text["t"], task)
        # The prompt is trained without the memory, where each image would find itself.
        if batch.training or not batch.fixed:
            return logits
        return logits + self.config.alpha * self.recall(batch, task)

    def recall(self, batch: Batch, task: Task) -> Tensor:
        """[C, B, K]: what the memory says; nothing about classes that it has no label for."""
        keys, labels, stored = (batch.fixed[name] for name in ("keys", "labels", "stored"))
        affinity = torch.exp(-self.config.beta * (1 - batch.pooled @ keys.transpose(1, 2)))
        affinity = affinity.masked_fill(~stored[:, None], 0)  # [C, B, S]
        count = len(task.classnames)
        place = {name: k for k, name in enumerate(task.classnames)}
        asked = torch.tensor([place.get(name, count) for name in batch.trained_on])
        values = F.one_hot(asked.to(labels.device)[labels], count + 1)
        return affinity @ values[..., :count].to(affinity.dtype)

    def shared_only(self, params: Tensors) -> Tensors | None:
        """The prompt; its evaluation comes without a memory."""
        return params

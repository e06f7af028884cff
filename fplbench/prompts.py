"""What several methods share: where a context starts, its text features, cosine logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fplbench.clip.prompts import Position
from fplbench.method import Settings, Task

INIT_STD = 0.02
"""Standard deviation of a random context: CoOp (Zhou et al., IJCV 2022) and every published
code of federated prompt learning that we read."""


class ContextSettings(Settings):
    """Settings of a learned context, alike for all methods that have one."""

    n_ctx: int = Field(
        16,
        ge=1,
        description="Context vectors in a prompt. 16: CoOp's M and the default argument of the "
        "published code of FedPGP and FedOTP.",
    )
    ctx_init: str = Field(
        "",
        description="Words to start the context from, such as 'a photo of a'; their tokens then "
        "give its length in place of n_ctx. Empty: random, N(0, 0.02^2), the default of the "
        "published code of PromptFL, FedPGP and FedOTP (--ctx_init False).",
    )
    position: Position = Field(
        "end",
        description="Where the class name stands. end: CoOp's default and that of all published "
        "federated code (CLASS_TOKEN_POSITION).",
    )


class ClassContextSettings(ContextSettings):
    """The same, with the choice of a context of its own for each class."""

    csc: bool = Field(
        False,
        description="Class-specific context (CoOp, section 3.2): a context for each class. It "
        "says nothing about classes that it was not trained on. False: CSC False in the "
        "published scripts.",
    )


def start_context(
    settings: ContextSettings,
    task: Task,
    generator: torch.Generator,
    classes: int | None = None,
) -> Tensor:
    """A client's first context: [n, d], or [classes, n, d] if classes is given. On the CPU."""
    lead = () if classes is None else (classes,)
    if settings.ctx_init.strip():
        words = task.embed_words(settings.ctx_init.replace("_", " ").strip())
        return words.detach().float().cpu().expand(*lead, *words.shape).clone()
    return torch.empty(*lead, settings.n_ctx, task.width).normal_(0, INIT_STD, generator=generator)


def start_class_context(
    settings: ClassContextSettings, task: Task, generator: torch.Generator
) -> Tensor:
    """[n, d], or [K, n, d] with class-specific contexts."""
    return start_context(settings, task, generator, len(task.classnames) if settings.csc else None)


def text_features(
    ctx: Tensor,
    task: Task,
    position: Position = "end",
    names: Sequence[str] | None = None,
    deep: Mapping[int, Tensor] | None = None,
) -> Tensor:
    """[C, K, D], unit length, of one prompt a client: ctx [C, n, d] or [C, K, n, d].

    names, deep: as in `Task.encode_prompts`, deep [C, n, d] a layer.
    """
    inside = {layer: each.unsqueeze(1) for layer, each in (deep or {}).items()}
    found = task.encode_prompts(ctx.unsqueeze(1), position, names, inside or None)
    return F.normalize(found.squeeze(1), dim=-1)


def behind(words: str, task: Task) -> Sequence[str] | None:
    """The class names with constant words before them; None where there are no words."""
    return [f"{words} {name}" for name in task.classnames] if words.strip() else None


def deep_of(prompts: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
    """Image prompts [C, layers, n, w]: the first layer's and each other's, [C, 1, n, w]."""
    first, *others = prompts.unsqueeze(2).unbind(1)
    return first, dict(enumerate(others, start=1))


def cosine_logits(images: Tensor, text: Tensor, task: Task) -> Tensor:
    """[C, B, K]: scale * v t^T, of images v [C, B, D] and text t [C, K, D] or [K, D], unit length.

    Equation 1 of CLIP as a classifier (Radford et al., ICML 2021; CoOp, equation 1) before its
    softmax; the scale is 1 / temperature.
    """
    return task.logit_scale * images @ text.transpose(-1, -2)

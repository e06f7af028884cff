"""Local training as published code does it: the oracle of the engine, and the other side of ratios.

One client after another; the image tower at every step; every prompt over all positions that the
tower reads; torch's own optimizer; whatever else the published losses compute, used or not. After
FedPGP (TianyuCuiOvO/FedPGP at d43045b) and PromptFL and FedOTP (HongxiaLee/FedOTP at 9948611),
written anew for this project. CoOp's and pFedPrompt's local steps are PromptFL's: for pFedPrompt no
code was published, and its memory takes no part in training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from torch import Tensor, nn

from fplbench.clip.backbone import Backbone
from fplbench.method import Settings, Tensors


class PlainText(nn.Module):
    """Prompts of one class list through the whole text tower."""

    def __init__(self, clip: Backbone, classnames: Sequence[str], n_ctx: int) -> None:
        super().__init__()
        assert isinstance(clip.model, CLIP)
        self.model = clip.model
        self.classnames = tuple(classnames)
        prompts = [f"{'X ' * n_ctx}{name.replace('_', ' ')}." for name in classnames]
        ids = clip.tokenizer(prompts, context_length=clip.text.context_length).to(clip.device)
        with torch.no_grad():
            self.embedding = self.model.token_embedding(ids)  # [K, 77, d]
        self.prefix, self.suffix = self.embedding[:, :1], self.embedding[:, 1 + n_ctx :]
        self.end = ids.argmax(-1)

    def forward(self, ctx: Tensor) -> Tensor:
        """ctx: [n, d] or [K, n, d]. Returns unit features, [K, D]."""
        ctx = ctx.expand(len(self.end), *ctx.shape[-2:])
        return self.encode(torch.cat([self.prefix, ctx, self.suffix], dim=1))

    def encode(self, x: Tensor) -> Tensor:
        """x: [K, 77, d], embedded without positions."""
        model = self.model
        x = model.transformer(x + model.positional_embedding, attn_mask=model.attn_mask)
        x = model.ln_final(x)[torch.arange(len(x)), self.end] @ model.text_projection
        return x / x.norm(dim=-1, keepdim=True)


Loss = Callable[[Backbone, PlainText, Settings, Tensors, Tensor, Tensor], Tensor]


def promptfl_loss(
    clip: Backbone,
    text: PlainText,
    config: Settings,
    params: Tensors,
    pixels: Tensor,
    labels: Tensor,
) -> Tensor:
    """Cross-entropy with one context."""
    images = clip.images(pixels).pooled
    images = images / images.norm(dim=-1, keepdim=True)
    (ctx,) = params.values()
    return F.cross_entropy(clip.logit_scale * images @ text(ctx).t(), labels)


def fedpgp_loss(
    clip: Backbone,
    text: PlainText,
    config: Settings,
    params: Tensors,
    pixels: Tensor,
    labels: Tensor,
) -> Tensor:
    """Four passes through the text tower: one is CLIP's own and never changes, one is not used."""
    images = clip.images(pixels).pooled
    images = images / images.norm(dim=-1, keepdim=True)
    low_rank = params["U"] @ params["V"]
    personal = text(low_rank + params["sigma"])
    guidance = text.encode(text.embedding)
    sigma = text(params["sigma"])
    text(low_rank)
    logits = clip.logit_scale * images @ personal.t()
    pull, push = F.cosine_similarity(guidance, sigma), F.cosine_similarity(sigma, personal)
    pairs = torch.stack([pull, push], dim=1) / config.tau
    contrastive = F.cross_entropy(pairs, torch.zeros(len(pairs), dtype=torch.long).to(pairs.device))
    return F.cross_entropy(logits, labels) + config.mu * contrastive


def fedotp_loss(
    clip: Backbone,
    text: PlainText,
    config: Settings,
    params: Tensors,
    pixels: Tensor,
    labels: Tensor,
) -> Tensor:
    """Both prompts for all classes, then one transport problem for each image and class."""
    patches = clip.images(pixels, patches=True).patches
    assert patches is not None
    patches = F.normalize(patches, dim=-1)  # [B, M, D]
    both = [params["ctx_shared"], params["ctx_private"]]
    prompts = torch.cat([ctx.expand(len(text.end), -1, -1) for ctx in both])  # [2 K, n, d]
    x = torch.cat([text.prefix.repeat(2, 1, 1), prompts, text.suffix.repeat(2, 1, 1)], dim=1)
    model = text.model
    x = model.transformer(x + model.positional_embedding, attn_mask=model.attn_mask)
    x = model.ln_final(x)[torch.arange(len(x)), text.end.repeat(2)] @ model.text_projection
    features = F.normalize(x, dim=-1).view(2, len(text.end), -1)
    similarity = torch.einsum("bmd,nkd->bkmn", patches, features).flatten(0, 1)  # [B K, M, 2]
    with torch.no_grad():
        plan = partial_transport(torch.exp((similarity - 1) / config.eps), config)
    logits = clip.logit_scale * (plan * similarity).sum((1, 2))
    return F.cross_entropy(logits.view(len(labels), -1), labels)


def partial_transport(kernel: Tensor, config: Settings) -> Tensor:
    """The plan of unbalanced transport, [B K, M, 2]; all problems stop by their mean change."""
    assert config.ot == "COT"
    problems, patches, prompts = kernel.shape
    a = torch.full((problems, patches), 1 / patches, device=kernel.device)
    b = torch.full((problems, prompts), config.top_percent / prompts, device=kernel.device)
    by_patch = torch.diag_embed(1 / a) @ kernel
    by_prompt = torch.diag_embed(1 / b) @ kernel.transpose(1, 2)
    u, v = torch.ones_like(a), torch.ones_like(b)
    for _ in range(config.max_iter):
        before = v
        u = torch.minimum(1 / (by_patch @ v.unsqueeze(-1)).squeeze(-1), torch.ones_like(a))
        v = 1 / (by_prompt @ u.unsqueeze(-1)).squeeze(-1)
        if (v - before).abs().mean().item() < config.thresh:
            break
    return torch.diag_embed(u) @ kernel @ torch.diag_embed(v)


LOSSES: dict[str, Loss] = {
    "coop": promptfl_loss,
    "promptfl": promptfl_loss,
    "pfedprompt": promptfl_loss,
    "fedpgp": fedpgp_loss,
    "fedotp": fedotp_loss,
}


class PlainClient:
    """One client with tensors of its own."""

    def __init__(
        self,
        loss: Loss,
        config: Settings,
        params: Tensors,
        clip: Backbone,
        classnames: Sequence[str],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
    ) -> None:
        """params: one client's tensors, without the client axis."""
        self.loss, self.config, self.clip = loss, config, clip
        self.params = {k: nn.Parameter(v.detach().clone()) for k, v in params.items()}
        self.text = PlainText(clip, classnames, getattr(config, "n_ctx", 0))
        self.optimizer = torch.optim.SGD(
            self.params.values(), lr=lr, momentum=momentum, weight_decay=weight_decay
        )

    def step(self, pixels: Tensor, labels: Tensor) -> float:
        """One step on images [B, 3, H, W]; the loss before it."""
        loss = self.loss(self.clip, self.text, self.config, self.params, pixels, labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

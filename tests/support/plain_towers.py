"""Local steps of methods whose prompts depend on images, or that change the image tower, plainly.

For one client, as published code does it: pixels through the whole image tower at every step, all
77 positions of every class and prompt, open_clip's own blocks with prompts put between them, one
image after another where contexts differ from image to image (CoCoOp), the frozen tower beside the
prompted one (PromptSRC). Only what published code too computes once is kept: fixed text features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from open_clip.transformer import VisionTransformer
from plain_reference import PlainText
from torch import Tensor

from fplbench.clip.backbone import Backbone
from fplbench.method import Settings, Tensors
from fplbench.methods.promptsrc import TEMPLATES

Deep = Mapping[int, Tensor]


def texts(text: PlainText, ctx: Tensor, deep: Deep | None = None) -> Tensor:
    """Unit features [K, D] of a context [n, d]. deep: layer -> what takes its place there."""
    if not deep:
        return text(ctx)
    model, count, n = text.model, len(text.end), len(ctx)
    ctx = ctx.expand(count, -1, -1)
    x = torch.cat([text.prefix, ctx, text.suffix], dim=1) + model.positional_embedding
    for layer, block in enumerate(model.transformer.resblocks):
        if layer in deep:
            x = torch.cat([x[:, :1], deep[layer].expand(count, -1, -1), x[:, 1 + n :]], dim=1)
        x = block(x, attn_mask=model.attn_mask)
    x = model.ln_final(x)[torch.arange(count), text.end] @ model.text_projection
    return F.normalize(x, dim=-1)


def images(clip: Backbone, pixels: Tensor, first: Tensor, deep: Deep | None = None) -> Tensor:
    """Unit features [B, D] with prompts [n, w] behind the patches. deep: as of texts."""
    tower = clip.model.visual
    assert isinstance(tower, VisionTransformer)
    count, deep = len(pixels), deep or {}
    patches = tower.conv1(pixels).flatten(2).transpose(1, 2)
    x = torch.cat([tower.class_embedding.expand(count, 1, -1), patches], dim=1)
    x = x + tower.positional_embedding
    length = x.shape[1]
    x = tower.ln_pre(torch.cat([x, first.expand(count, -1, -1)], dim=1))
    for layer, block in enumerate(tower.transformer.resblocks):
        if layer in deep:
            x = torch.cat([x[:, :length], deep[layer].expand(count, -1, -1)], dim=1)
        x = block(x)
    x = x[:, :length]
    pooled = tower.ln_post(x[:, 0]) if tower.pool_type == "tok" else tower.ln_post(x[:, 1:]).mean(1)
    return F.normalize(pooled @ tower.proj, dim=-1)


def layered(prompts: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
    first, *others = prompts
    return first, dict(enumerate(others, start=1))


def fixed(clip: Backbone, text: PlainText, templates: Sequence[str]) -> Tensor:
    """[K, D], unit length: the mean of the templates' features; found once."""
    if not hasattr(text, "fixed"):
        each = []
        for name in text.classnames:
            sentences = [template.replace("{}", name.replace("_", " ")) for template in templates]
            ids = clip.tokenizer(sentences, context_length=clip.text.context_length)
            found = clip.model.encode_text(ids.to(clip.device))
            each.append(found.mean(0))
        text.fixed = F.normalize(torch.stack(each), dim=-1).detach()
    return text.fixed


def vpt_loss(
    clip: Backbone, text: PlainText, config: Settings, p: Tensors, pixels: Tensor, labels: Tensor
) -> Tensor:
    """Prompts of the image tower; the text is fixed."""
    v = images(clip, pixels, *layered(p["ctx_vision"]))
    return F.cross_entropy(
        clip.logit_scale * v @ fixed(clip, text, ["a photo of a {}."]).t(), labels
    )


def maple_loss(
    clip: Backbone, text: PlainText, config: Settings, p: Tensors, pixels: Tensor, labels: Tensor
) -> Tensor:
    """Prompts of both towers, those of images made of those of the text."""
    deep = dict(enumerate(p.get("ctx_deep", ()), start=1))
    couplings = zip(p.get("couple_deep", ()), p.get("couple_deep_bias", ()), strict=True)
    coupled = {i: F.linear(deep[i], w, b) for i, (w, b) in enumerate(couplings, start=1)}
    t = texts(text, p["ctx"], deep)
    v = images(clip, pixels, F.linear(p["ctx"], p["couple"], p["couple_bias"]), coupled)
    return F.cross_entropy(clip.logit_scale * v @ t.t(), labels)


def promptsrc_loss(
    clip: Backbone, text: PlainText, config: Settings, p: Tensors, pixels: Tensor, labels: Tensor
) -> Tensor:
    """Free prompts of both towers, held near what the frozen ones give."""
    t = texts(text, p["ctx"], dict(enumerate(p.get("ctx_deep", ()), start=1)))
    v = images(clip, pixels, *layered(p["ctx_vision"]))
    t0 = fixed(clip, text, TEMPLATES)
    with torch.no_grad():
        v0 = F.normalize(clip.images(pixels).pooled, dim=-1)
    logits, zero = clip.logit_scale * v @ t.t(), clip.logit_scale * v0 @ t0.t()
    logs = [z.log_softmax(-1) for z in (logits, zero)]
    return (
        F.cross_entropy(logits, labels)
        + config.text_weight * F.l1_loss(t, t0)  # type: ignore[attr-defined]
        + config.image_weight * F.l1_loss(v, v0)  # type: ignore[attr-defined]
        + F.kl_div(*logs, reduction="sum", log_target=True) / logits.numel()
    )


def cocoop_loss(
    clip: Backbone, text: PlainText, config: Settings, p: Tensors, pixels: Tensor, labels: Tensor
) -> Tensor:
    """A context for each image, and all classes through the text tower with each."""
    v = F.normalize(clip.images(pixels).pooled, dim=-1)
    hidden = F.linear(v, p["meta_w1"], p["meta_b1"]).relu()
    contexts = p["ctx"] + F.linear(hidden, p["meta_w2"], p["meta_b2"])[:, None]
    logits = [one @ texts(text, ctx).t() for one, ctx in zip(v, contexts, strict=True)]
    return F.cross_entropy(clip.logit_scale * torch.stack(logits), labels)


def fedmgp_loss(
    clip: Backbone, text: PlainText, config: Settings, p: Tensors, pixels: Tensor, labels: Tensor
) -> Tensor:
    """Each group's prompts through both towers; the groups' features are driven apart."""
    t = torch.stack([texts(text, ctx) for ctx in p["ctx"]])
    v = torch.stack([images(clip, pixels, first) for first in p["ctx_vision"]])
    losses = [
        F.cross_entropy(clip.logit_scale * a @ b.t(), labels) for a, b in zip(v, t, strict=True)
    ]
    pairs = [(i, j) for i in range(len(t)) for j in range(i + 1, len(t))]
    far = torch.stack([F.l1_loss(x[i], x[j]) for x in (t, v) for i, j in pairs]).mean()
    weight: float = config.divergence_weight  # type: ignore[attr-defined]
    return torch.stack(losses).mean() - weight * far


LOSSES = {
    "vpt": vpt_loss,
    "cocoop": cocoop_loss,
    "maple": maple_loss,
    "promptsrc": promptsrc_loss,
    "fedmgp": fedmgp_loss,
}

"""Patch features computed step by step, without the functions under test."""

from __future__ import annotations

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import Tensor


def vit_patches(visual: VisionTransformer, x: Tensor) -> Tensor:
    """[B, M, D]: every token but the class token's, through ln_post and proj."""
    tokens = visual.conv1(x).flatten(2).transpose(1, 2)  # [B, M, width]
    tokens = torch.cat([visual.class_embedding.expand(len(x), 1, -1), tokens], dim=1)
    tokens = visual.ln_pre(tokens + visual.positional_embedding)
    for block in visual.transformer.resblocks:
        tokens = block(tokens)
    wanted: Tensor = visual.ln_post(tokens[:, 1:]) @ visual.proj
    return wanted


def resnet_patches(visual: ModifiedResNet, x: Tensor) -> Tensor:
    """[B, M, D]: the attention pool with every position as query, but the mean's."""
    maps = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(x)))))
    pool, tokens = visual.attnpool, maps.flatten(2).transpose(1, 2)  # [B, M, width]
    tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1) + pool.positional_embedding

    def heads(projected: Tensor) -> Tensor:
        return projected.unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)  # [B, H, 1 + M, d/H]

    q, k, v = (heads(p(tokens)) for p in (pool.q_proj, pool.k_proj, pool.v_proj))
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    wanted: Tensor = pool.c_proj((weights @ v).transpose(1, 2).flatten(2))
    return wanted[:, 1:]

"""Image features of an open_clip tower: the pooled one, and one for each patch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from fplbench.errors import UserError


@dataclass(frozen=True)
class ImageFeatures:
    """Features in the joint space, not normalised. pooled: [B, D]; patches: [B, M, D]."""

    pooled: Tensor
    patches: Tensor | None = None


def has_patches(visual: nn.Module) -> bool:
    """Whether the tower's patches have a meaning in the joint space."""
    if isinstance(visual, VisionTransformer):
        return visual.attn_pool is None and visual.pool_type in ("tok", "avg")
    return isinstance(visual, ModifiedResNet)


@torch.no_grad()
def image_features(visual: nn.Module, pixels: Tensor, patches: bool) -> ImageFeatures:
    """pixels: [B, 3, H, W], preprocessed.

    Patches go through the same last steps as the pooled feature, as in the published code of
    FedOTP and PLOT: ln_post and proj in a ViT, the attention pool with every position as a query
    in CLIP's ResNet. UserError: patches of a tower that has no such steps.
    """
    if not patches:
        return ImageFeatures(visual(pixels))
    if not has_patches(visual):
        raise UserError(
            f"the image tower {type(visual).__name__} has no patch features in the joint space, "
            "which this method needs: choose a backbone with a ViT or ResNet tower of CLIP's own, "
            "ViT-B-16:openai for one, or a method or setting that reads the pooled feature alone"
        )
    if isinstance(visual, VisionTransformer):
        return _vit_features(visual, pixels)
    assert isinstance(visual, ModifiedResNet)
    return _resnet_features(visual, pixels)


def _vit_features(visual: VisionTransformer, pixels: Tensor) -> ImageFeatures:
    out = visual.forward_intermediates(
        pixels, indices=1, normalize_intermediates=True, output_fmt="NLC"
    )
    tokens: Tensor = out["image_intermediates"][-1]  # [B, M, width], after ln_post, no class token
    return ImageFeatures(out["image_features"], tokens @ visual.proj)


def _resnet_features(visual: ModifiedResNet, pixels: Tensor) -> ImageFeatures:
    x = visual.stem(pixels)
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        x = layer(x)
    x = _attention_pool(visual.attnpool, x)
    return ImageFeatures(x[:, 0], x[:, 1:])


def _attention_pool(pool: AttentionPool2d, x: Tensor) -> Tensor:
    """open_clip's attention pool, which returns the first query only, with all of them.

    x: [B, width, h, w]. Returns [B, 1 + h w, D], the mean position first.
    """
    x = x.flatten(2).permute(2, 0, 1)  # [h w, B, width]
    x = torch.cat([x.mean(0, keepdim=True), x]) + pool.positional_embedding[:, None]
    x, _ = F.multi_head_attention_forward(
        query=x,
        key=x,
        value=x,
        embed_dim_to_check=x.shape[-1],
        num_heads=pool.num_heads,
        in_proj_weight=None,
        in_proj_bias=torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=pool.c_proj.weight,
        out_proj_bias=pool.c_proj.bias,
        training=False,
        need_weights=False,
        use_separate_proj_weight=True,
        q_proj_weight=pool.q_proj.weight,
        k_proj_weight=pool.k_proj.weight,
        v_proj_weight=pool.v_proj.weight,
    )
    return x.transpose(0, 1)

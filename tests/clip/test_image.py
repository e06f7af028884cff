"""Pooled and patch features are those of open_clip's own modules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from golden_backbone import golden_backbone
from open_clip.modified_resnet import ModifiedResNet
from plain_patches import resnet_patches, vit_patches
from safetensors.torch import load_file
from small_clip import far, small_clip
from torch import Tensor

from fplbench.clip.image import has_patches, image_features
from fplbench.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden"


def pixels(size: int) -> Tensor:
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pool", ["tok", "avg"])
@pytest.mark.parametrize("late", [False, True])
def test_vit_patches_go_through_the_last_norm_and_projection(pool: str, late: bool) -> None:
    model = small_clip(vision={"pool_type": pool, "final_ln_after_pool": late})
    x, visual = pixels(16), model.visual
    found = image_features(visual, x, patches=True)
    assert torch.equal(found.pooled, model.encode_image(x))
    assert image_features(visual, x, patches=False).patches is None

    assert found.patches is not None
    assert far(found.patches, vit_patches(visual, x)) < 1e-5


@pytest.mark.parametrize("name", ["fedotp_cot", "fedotp_sinkhorn", "promptfl_a"])
def test_golden_images_have_golden_features(name: str) -> None:
    golden = load_file(GOLDEN / f"{name}.safetensors")
    found = golden_backbone(GOLDEN).images(golden["input.images"], patches=True)
    features = found.pooled
    if golden["input.image_features"].dim() == 3:
        assert found.patches is not None
        features = torch.cat([found.pooled[:, None], found.patches], dim=1)
    assert far(features, golden["input.image_features"]) < 1e-5


def small_resnet() -> ModifiedResNet:
    torch.manual_seed(0)
    visual = ModifiedResNet((1, 1, 1, 1), output_dim=12, heads=4, image_size=64, width=8)
    for name, value in visual.named_buffers():  # statistics as after training
        if "num_batches" not in name:
            value.copy_(torch.rand(value.shape) + 0.5)
    for parameter in visual.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape)
    return visual.eval().requires_grad_(False)


def test_resnet_patches_are_the_attention_pool_with_every_position_as_query() -> None:
    visual, x = small_resnet(), pixels(64)
    found = image_features(visual, x, patches=True)
    assert far(found.pooled, visual(x)) < 1e-5

    assert found.patches is not None
    assert far(found.patches, resnet_patches(visual, x)) < 1e-5


def test_a_tower_without_patches_in_the_joint_space_is_refused_by_name() -> None:
    model = small_clip(vision={"attentional_pool": True, "attn_pooler_heads": 2})
    x = pixels(16)
    assert not has_patches(model.visual)
    assert torch.equal(image_features(model.visual, x, False).pooled, model.encode_image(x))
    with pytest.raises(UserError, match="VisionTransformer has no patch features"):
        image_features(model.visual, x, patches=True)

"""A task: a class list, its prompts and CLIP's own features for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_clip import far, small_backbone

from fplbench.clip.backbone import Backbone
from fplbench.clip.task import PromptTask
from fplbench.method import Task

NAMES = ("cat", "red_dog", "horse")
TEMPLATES = ("a photo of a {}.", "{} it is", "the {1} {}")


@pytest.fixture
def backbone() -> Backbone:
    return small_backbone()


@pytest.fixture
def task(backbone: Backbone) -> PromptTask:
    return PromptTask(backbone.text, NAMES, TEMPLATES, backbone.logit_scale)


def test_it_is_what_the_contract_asks_for(task: PromptTask) -> None:
    promised: Task = task
    assert promised.classnames == NAMES
    assert promised.width == 16
    assert promised.embed_dim == 12
    assert promised.logit_scale.shape == ()
    assert torch.equal(promised.embed_words("a b"), task.tower.embed_words("ab"))
    assert promised.encode_texts(["cat", "dog"]).shape == (2, 12)


def test_clip_features_are_the_mean_of_unit_features_over_templates(task: PromptTask) -> None:
    for name, feature in zip(("cat", "red dog", "horse"), task.clip_text_features, strict=True):
        texts = [f"a photo of a {name}.", f"{name} it is", f"the {{1}} {name}"]
        mean = F.normalize(task.encode_texts(texts), dim=-1).mean(0)
        assert far(feature, mean / mean.norm()) < 1e-5
    assert not task.clip_text_features.requires_grad


def test_prompts_are_those_of_the_classes(task: PromptTask) -> None:
    ctx = torch.randn(2, 3, 4, 16, requires_grad=True)
    features = task.encode_prompts(ctx)
    assert features.shape == (2, 3, 3, 12)
    assert features.requires_grad
    assert task.encode_prompts(ctx, "front").shape == features.shape


def test_a_subset_keeps_the_order_it_is_given_and_the_same_bits(task: PromptTask) -> None:
    part = task.subset(np.array([2, 0]))
    assert part.classnames == ("horse", "cat")
    assert torch.equal(part.clip_text_features, task.clip_text_features[[2, 0]])
    again = part.subset(np.array([1]))
    assert torch.equal(again.clip_text_features, task.clip_text_features[:1])
    ctx = torch.randn(1, 1, 4, 16)
    assert far(part.encode_prompts(ctx), task.encode_prompts(ctx)[:, :, [2, 0]]) < 1e-5

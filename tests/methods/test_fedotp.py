from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import random_clients as some
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from fplbench.clip.task import PromptTask
from fplbench.features import backbones
from fplbench.method import Batch, Method
from fplbench.methods.fedotp import FedOTP
from fplbench.plugins import registry
from fplbench.transport import host

CLASSES, PROMPTS = 5, 2


def fedotp(**settings: object) -> FedOTP:
    made: Method = some.method("fedotp", **settings)
    assert isinstance(made, FedOTP)
    return made


def similarities(clients: int = 2, images: int = 4, seed: int = 0) -> Tensor:
    noise = torch.Generator().manual_seed(seed)
    shape = (clients, images, CLASSES, PROMPTS, some.PATCHES)
    # Clients and images differ in spread, so that they need different numbers of iterations.
    spread = torch.linspace(0.05, 0.6, clients * images).view(clients, images, 1, 1, 1)
    return spread * torch.randn(shape, generator=noise).clamp(-1.6, 1.6)


def images(clients: int = 2, count: int = 4, training: bool = False) -> Batch:
    mask = torch.ones(clients, count, dtype=torch.bool)
    return Batch(mask=mask, pooled=torch.zeros(clients, count, 1), training=training)


def plan_of(method: FedOTP, similarity: Tensor, batch: Batch) -> Tensor:
    """The plan with the two sides of the transport last: both are [C, B, K, N, M]."""
    given = similarity.permute(0, 1, 4, 3, 2)
    _, plan = host.solve(given, batch.mask, method.rule(), batch.training, keep=True)
    assert plan is not None
    return plan.permute(0, 1, 4, 3, 2)


@pytest.mark.parametrize("top_percent", [0.3, 0.8, 1.0])
def test_the_unbalanced_plan_moves_its_mass_and_no_patch_gives_too_much(
    top_percent: float,
) -> None:
    method = fedotp(top_percent=top_percent, thresh=1e-6, max_iter=1000)
    plan = plan_of(method, similarities(), images())
    assert_close(plan.sum(-1), torch.full(plan.shape[:-1], top_percent / PROMPTS))
    assert_close(plan.sum((-1, -2)), torch.full(plan.shape[:-2], top_percent))
    assert plan.min() >= 0
    assert plan.sum(-2).max() <= 1 / some.PATCHES + 1e-4


def test_half_the_mass_is_moved_by_the_better_half_of_the_patches() -> None:
    """At the published script's small eps, where a kernel in float32 would be all zeros."""
    similarity = torch.tensor([[0.05, -0.5, 0.04, -0.6], [0.05, -0.5, 0.04, -0.6]])
    method = fedotp(top_percent=0.5, eps=0.01, max_iter=1000)
    plan = plan_of(method, similarity[None, None, None], images(1, 1))
    assert plan.dtype == torch.float32
    assert_close(plan.sum(-2).flatten(), torch.tensor([0.25, 0, 0.25, 0]), rtol=0, atol=1e-3)


def test_the_balanced_plan_has_both_marginals() -> None:
    plan = plan_of(fedotp(ot="Sinkhorn", thresh=1e-6, max_iter=1000), similarities(), images())
    assert_close(plan.sum(-1), torch.full(plan.shape[:-1], 1 / PROMPTS))
    assert_close(
        plan.sum(-2),
        torch.full((*plan.shape[:-2], some.PATCHES), 1 / some.PATCHES),
        rtol=1e-3,
        atol=0,
    )


@pytest.mark.parametrize("ot", ["COT", "Sinkhorn"])
@pytest.mark.parametrize("training", [True, False])
def test_who_has_stopped_stays_as_it_is(ot: str, training: bool) -> None:
    """Clients (in training) and images (in evaluation) that need fewer iterations lose nothing."""
    method = fedotp(ot=ot)
    together = plan_of(method, similarities(), images(training=training))
    size = slice(0, 4) if training else slice(0, 1)
    for client in range(2):
        for first in range(0, 4, size.stop):
            part = similarities()[client : client + 1, first : first + size.stop]
            alone = plan_of(method, part, images(1, size.stop, training))
            here = together[client, first : first + size.stop]
            assert_close(here, alone[0], rtol=1e-5, atol=1e-8)
    exact = plan_of(fedotp(ot=ot, thresh=0), similarities(), images(training=training))
    assert not torch.equal(together, exact)


def test_in_training_a_client_stops_by_its_own_images_alone() -> None:
    method = fedotp()
    similarity = similarities()
    batch = images(training=True)
    few = replace(batch, mask=torch.tensor([[True, True, False, False], [True] * 4]))
    other = similarity.clone()
    other[0, 2:] = -other[0, 2:]
    first = plan_of(method, similarity, few)
    second = plan_of(method, other, few)
    assert_close(first[0, :2], second[0, :2], rtol=1e-5, atol=1e-8)
    assert not torch.equal(first[0, :2], plan_of(method, similarity, batch)[0, :2])


def test_the_plan_is_a_constant_for_the_gradient() -> None:
    method = fedotp()
    params, batch = some.params(method, 2), some.batch(2)
    assert batch.patches is not None
    _, grads = some.gradients(method, params, batch)
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    text = method.encode(leaves, some.task())
    similarity = torch.einsum("cbmd,cnkd->cbknm", batch.patches, text["h"])
    plan = plan_of(method, similarity.detach(), batch)
    logits = some.task().logit_scale * (plan * similarity).sum((-2, -1))
    assert batch.labels is not None
    each = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch.labels.flatten(), reduction="none"
    ).view_as(batch.labels)
    ((each * batch.mask).sum(1) / batch.mask.sum(1)).sum().backward()
    for name, leaf in leaves.items():
        assert leaf.grad is not None
        assert_close(grads[name], leaf.grad, rtol=1e-4, atol=1e-6)


def test_patches_kept_in_float16_hardly_move_a_logit(tmp_path: Path) -> None:
    """docs/performance.md quotes the bounds: of 100 images, on the embedded backbone."""
    clip = backbones.load("tiny")
    data = registry.datasets().get("digits")().load(None, tmp_path)
    pixels = torch.stack([clip.preprocess(data.test.images[i]) for i in range(100)])
    exact = clip.images(pixels, patches=True).patches
    assert exact is not None
    exact = F.normalize(exact, dim=-1)[None]
    method = FedOTP(FedOTP.Config(n_ctx=16))
    task = PromptTask(clip.text, data.classnames, data.templates, clip.logit_scale)
    params = {
        name: spec.value[None]
        for name, spec in method.init(task, torch.Generator().manual_seed(0)).items()
    }
    text = method.encode(params, task)
    whole = torch.ones(1, 100, dtype=torch.bool)
    kept, rounded = (
        method.logits(
            params, text, Batch(mask=whole, pooled=x[:, :, 0], patches=x, training=False), task
        )
        for x in (exact, exact.half().float())
    )
    assert float((rounded - kept).abs().max()) < 0.001
    assert float(kept.max() - kept.min()) > 3
    assert torch.equal(rounded.argmax(-1), kept.argmax(-1))

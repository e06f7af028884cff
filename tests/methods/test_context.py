"""Where contexts start, and the smaller methods."""

from __future__ import annotations

from dataclasses import replace

import pytest
import random_clients as some
import torch
from torch.testing import assert_close

from fplbench.prompts import ClassContextSettings, ContextSettings, start_class_context


def start(settings: ClassContextSettings) -> torch.Tensor:
    return start_class_context(settings, some.task(), torch.Generator().manual_seed(3))


def test_a_random_context_has_the_published_spread() -> None:
    ctx = start(ClassContextSettings(n_ctx=16))
    assert ctx.shape == (16, some.backbone().text.width)
    assert float(ctx.std()) == pytest.approx(0.02, rel=0.05)
    assert torch.equal(ctx, start(ClassContextSettings(n_ctx=16)))


def test_a_class_specific_context_is_drawn_for_each_class() -> None:
    ctx = start(ClassContextSettings(n_ctx=4, csc=True))
    assert ctx.shape == (len(some.CLASSES), 4, some.backbone().text.width)
    assert not torch.equal(ctx[0], ctx[1])


def test_a_context_of_words_is_the_sentence_itself() -> None:
    promptfl = some.method("promptfl", ctx_init="a_photo of a")
    ctx = promptfl.init(some.task(), torch.Generator())["ctx"].value
    words = [f"a photo of a {name.replace('_', ' ')}." for name in some.CLASSES]
    expected = torch.nn.functional.normalize(some.task().encode_texts(words), dim=-1)
    assert_close(promptfl.encode({"ctx": ctx[None]}, some.task())["t"][0], expected)
    specific = start(ClassContextSettings(ctx_init="a photo of a", csc=True))
    assert torch.equal(specific, ctx.expand_as(specific))


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="n_contexts"):
        ContextSettings.model_validate({"n_contexts": 4})


def test_zero_shot_uses_the_templates_and_trains_nothing() -> None:
    zeroshot = some.method("zeroshot")
    assert zeroshot.init(some.task(), torch.Generator()) == {}
    batch = some.batch(2, training=False)
    logits = zeroshot.logits({}, {}, batch, some.task())
    text = some.task().clip_text_features
    assert_close(logits, some.backbone().logit_scale * batch.pooled @ text.T)


def test_class_specific_contexts_outside_the_class_mask_get_no_gradient() -> None:
    coop = some.method("coop", csc=True)
    params, batch = some.params(coop, 2), some.batch(2)
    mask = torch.zeros(2, len(some.CLASSES), dtype=torch.bool)
    mask[:, 1:3] = True
    batch = replace(batch, labels=torch.ones_like(batch.mask, dtype=torch.long), class_mask=mask)
    _, grads = some.gradients(coop, params, batch)
    asleep = grads["ctx"].flatten(2).abs().sum(-1) == 0
    assert torch.equal(asleep, ~mask)


def test_the_proximal_gradient_is_mu_times_the_distance() -> None:
    """The published codes compute the term from detached values: it has no gradient there."""
    mu = 0.7
    params, batch = some.params(some.method("promptfl"), 2), some.batch(2)
    received = {"ctx": torch.randn(params["ctx"].shape)}
    with_prox = some.method("promptfl", prox_mu=mu)
    fixed = with_prox.prepare(params, received, some.task())
    terms, with_term = some.gradients(with_prox, params, replace(batch, fixed=fixed))
    plain_terms, without = some.gradients(some.method("promptfl"), params, batch)
    assert set(plain_terms) == {"ce"}
    gap = params["ctx"] - received["ctx"]
    assert_close(terms["prox"], mu / 2 * gap.square().sum((1, 2)))
    assert_close(with_term["ctx"] - without["ctx"], mu * gap, rtol=1e-4, atol=1e-5)

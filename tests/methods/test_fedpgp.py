from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import random_clients as some
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from fplbench.clip.prompts import Position
from fplbench.clip.task import PromptTask
from fplbench.method import Method
from fplbench.methods.fedpgp import FedPGP


class CountingTask(PromptTask):
    """Notes how many prompts a client has encoded."""

    def __init__(self) -> None:
        clip = some.backbone()
        super().__init__(clip.text, some.CLASSES, ["a {}."], clip.logit_scale)
        self.encoded: list[int] = []

    def encode_prompts(
        self, ctx: Tensor, position: Position = "end", *others: Any, **named: Any
    ) -> Tensor:
        self.encoded.append(ctx.shape[1])
        return super().encode_prompts(ctx, position, *others, **named)


def fedpgp(**settings: object) -> FedPGP:
    made: Method = some.method("fedpgp", **{"rank": 2, **settings})
    assert isinstance(made, FedPGP)
    return made


def test_the_personal_prompt_starts_beside_promptfls() -> None:
    seeded = torch.Generator().manual_seed
    specs = fedpgp().init(some.task(), seeded(4))
    ctx = some.method("promptfl").init(some.task(), seeded(4))["ctx"].value
    assert torch.equal(specs["sigma"].value, ctx)
    assert specs["U"].value.shape == (3, 2)
    assert specs["V"].value.shape == (2, some.task().width)
    personal = fedpgp().personal({name: spec.value[None] for name, spec in specs.items()})[0]
    assert 0 < float((personal - ctx).abs().max()) < 0.1 * float(ctx.abs().max())


def test_without_its_low_rank_part_it_is_promptfl() -> None:
    method, promptfl = fedpgp(), some.method("promptfl")
    params, batch = some.params(method, 2), some.batch(2, training=False)
    alone = method.shared_only(params)
    assert alone is not None
    found = method.logits(alone, method.encode(alone, some.task()), batch, some.task())
    ctx = {"ctx": params["sigma"]}
    expected = promptfl.logits(ctx, promptfl.encode(ctx, some.task()), batch, some.task())
    assert torch.equal(found, expected)


def test_the_contrastive_term_is_the_papers_equation() -> None:
    method = fedpgp(tau=0.3)
    sigma, clip, personal = torch.randn(3, 2, 5, 7).unbind(0)
    pull = torch.exp(F.cosine_similarity(sigma, clip, dim=-1) / 0.3)
    push = torch.exp(F.cosine_similarity(sigma, personal, dim=-1) / 0.3)
    expected = -torch.log(pull / (pull + push)).mean(1)
    assert_close(method.contrastive(sigma, clip, personal), expected)


@pytest.mark.parametrize("guidance", ["template", "placeholder"])
def test_the_guidance_is_the_templates_or_the_placeholder(guidance: str) -> None:
    method = fedpgp(guidance=guidance)
    params = some.params(method, 2)
    found = method.prepare(params, {}, some.task())["t_clip"]
    if guidance == "template":
        expected = some.task().clip_text_features
    else:
        names = [name.replace("_", " ") for name in some.CLASSES]
        expected = some.task().encode_texts([f"X X X {name}." for name in names])
    assert_close(found, expected.expand(2, -1, -1))


def test_the_weighted_terms_are_summed() -> None:
    params, batch = some.params(fedpgp(), 2), some.batch(2)
    terms = {}
    for mu in (0.0, 0.5, 1.0):
        method = fedpgp(mu=mu)
        fixed = method.prepare(params, {}, some.task())
        terms[mu] = method.losses(params, replace(batch, fixed=fixed), some.task())
    assert set(terms[0.0]) == {"ce"}
    assert set(terms[0.5]) == {"ce", "contrastive"}
    assert_close(terms[0.5]["contrastive"] * 2, terms[1.0]["contrastive"])
    assert_close(terms[0.5]["ce"], terms[0.0]["ce"])


def test_nothing_is_encoded_that_nobody_reads() -> None:
    params, batch = some.params(fedpgp(), 2), some.batch(2)
    for mu, prompts in ((0.5, 2), (0.0, 1)):
        method, task = fedpgp(mu=mu), CountingTask()
        fixed = method.prepare(params, {}, task)
        method.losses(params, replace(batch, fixed=fixed), task)
        assert task.encoded == [prompts]
    task = CountingTask()
    fedpgp().encode(params, task)
    assert task.encoded == [1]

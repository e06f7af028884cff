"""CLIP-LoRA against a plain loop: open_clip's own towers with one client's changes written in."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import cache, partial

import pytest
import torch
import torch.nn.functional as F
from merged_weights import merged
from open_clip.model import CLIP
from small_clip import far
from torch import Tensor

from fplbench import rng
from fplbench.clip.task import PromptTask
from fplbench.clip.text import TextTower
from fplbench.clip.vision import embed
from fplbench.contract.room import CLASSES, TEMPLATES, backbone
from fplbench.engine.train import SGD, step_gradients
from fplbench.method import Batch, Tensors
from fplbench.methods.cliplora import CLIPLoRA

CLIENTS, IMAGES = 3, 4
SGD_SETTINGS = {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
GAMMA = 1 / math.sqrt(2)  # of the defaults
DTYPES = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Precision -> how near logits of both sides are, beside the largest."""


@cache
def model(dtype: torch.dtype = torch.float32) -> CLIP:
    """The embedded backbone: its towers differ in width and in number of layers."""
    found = copy.deepcopy(backbone().model).to(dtype)
    assert isinstance(found, CLIP)
    return found


@cache
def task(dtype: torch.dtype = torch.float32) -> PromptTask:
    clip, tower = model(dtype), TextTower(model(dtype), backbone().tokenizer)
    return PromptTask(tower, CLASSES, TEMPLATES, clip.logit_scale.exp(), visual=clip.visual)


def lora(**settings: object) -> CLIPLoRA:
    return CLIPLoRA(CLIPLoRA.Config(**({"dropout": 0} | settings)))


def clients_of(method: CLIPLoRA, dtype: torch.dtype = torch.float32) -> Tensors:
    """Each client's own random values, of A's size at the start."""
    noise = torch.Generator().manual_seed(0)
    return {
        name: 0.05 * torch.randn(CLIENTS, *spec.value.shape, generator=noise).to(dtype)
        for name, spec in method.init(task(), noise).items()
    }


def pixels_and_batch(
    training: bool = True, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Batch]:
    """Random images [C, B, 3, H, W]; client c lacks its last c."""
    noise = torch.Generator().manual_seed(2)
    size = (CLIENTS, IMAGES, 3, *backbone().image_size)
    pixels = torch.randn(size, generator=noise).to(dtype)
    return pixels, Batch(
        mask=torch.arange(IMAGES) < IMAGES - torch.arange(CLIENTS)[:, None],
        pooled=torch.zeros(CLIENTS, IMAGES, backbone().embed_dim, dtype=dtype),
        embedded=torch.stack([embed(model(dtype).visual, own) for own in pixels]),
        labels=torch.randint(len(CLASSES), (CLIENTS, IMAGES), generator=noise),
        training=training,
        trained_on=CLASSES,
        clients=torch.arange(CLIENTS),
        generator=partial(rng.generator, 0),
    )


def plain_logits(own: Tensors, pixels: Tensor, gamma: float) -> Tensor:
    """[B, K] of one client through open_clip's model with W + gamma B A in place of each W, every
    prompt over all positions of the tower."""
    clip = model(pixels.dtype)
    names = [name.replace("_", " ") for name in CLASSES]
    ids = backbone().tokenizer([f"a photo of a {name}." for name in names], context_length=77)
    text, image = (
        dict(enumerate((gamma * own[f"{tower}_B"] @ own[f"{tower}_A"]).flatten(1, 2)))
        for tower in ("text", "image")
    )
    with merged(clip.transformer, text), merged(clip.visual.transformer, image):
        t = F.normalize(clip.encode_text(ids), dim=-1)
        v = F.normalize(clip.encode_image(pixels), dim=-1)
    return clip.logit_scale.exp() * v @ t.T


def plain_loss(own: Tensors, pixels: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(plain_logits(own, pixels, GAMMA), labels)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rank", [1, 2, 4])
def test_logits_are_those_of_changed_weights(rank: int, dtype: torch.dtype) -> None:
    method, asked = lora(rank=rank, alpha=1.5), task(dtype)
    params, (pixels, batch) = clients_of(method, dtype), pixels_and_batch(False, dtype)
    found = method.logits(params, method.encode(params, asked), batch, asked)
    for c in range(CLIENTS):
        own = {name: t[c] for name, t in params.items()}
        wanted = plain_logits(own, pixels[c], 1.5 / math.sqrt(rank))
        assert far(found[c], wanted) < DTYPES[dtype]


def test_gradients_and_three_steps_are_those_of_changed_weights() -> None:
    """In float64: in float32 either side's gradient is 1e-5 from it. The exam compares those."""
    method, dtype, close = lora(), torch.float64, 1e-10
    params, (pixels, batch) = clients_of(method, dtype), pixels_and_batch(dtype=dtype)
    alone = [{n: t[c].clone().requires_grad_() for n, t in params.items()} for c in range(CLIENTS)]
    theirs = [torch.optim.SGD(own.values(), **SGD_SETTINGS) for own in alone]
    optimizer = SGD(**SGD_SETTINGS)
    for _ in range(3):
        terms, grads = step_gradients(method, params, list(params), batch, task(dtype))
        optimizer.step(params, grads)
        for c, own in enumerate(alone):
            seen = batch.mask[c]
            assert batch.labels is not None
            loss = plain_loss(own, pixels[c, seen], batch.labels[c, seen])
            theirs[c].zero_grad()
            loss.backward()
            theirs[c].step()
            assert far(terms["ce"][c], loss) < close
            for name, leaf in own.items():
                assert leaf.grad is not None
                assert far(grads[name][c], leaf.grad) < close, name
                assert far(params[name][c], leaf) < close, name


def test_it_starts_as_clip_with_one_fixed_prompt() -> None:
    method, (_, batch) = lora(), pixels_and_batch(training=False)
    specs = method.init(task(), torch.Generator().manual_seed(0))
    params = {name: spec.value.expand(CLIENTS, *spec.value.shape) for name, spec in specs.items()}
    found = method.logits(params, method.encode(params, task()), batch, task())
    clip, names = backbone(), [name.replace("_", " ") for name in CLASSES]
    t = F.normalize(clip.text.encode_texts([f"a photo of a {name}." for name in names]), dim=-1)
    v = F.normalize(task().encode_images(batch.embedded).squeeze(1), dim=-1)
    assert far(found, clip.logit_scale * v @ t.T) < 1e-5
    bound = 1 / math.sqrt(task().width)  # of torch.nn.Linear's start, as the authors' A
    largest = float(specs["text_A"].value.abs().max())
    assert 0.9 * bound < largest <= bound


def kept_by(method: CLIPLoRA, batch: Batch, tower: str, layer: int, x: Tensor) -> Tensor:
    """Which entries of x a step keeps, seen through A = B = 1: [C, T, 3, w], 0 or not."""
    width = x.shape[-1]
    one = torch.eye(width).expand(CLIENTS, 2, 3, width, width)
    changes = method.changes({f"{tower}_A": one, f"{tower}_B": one}, tower, batch)
    return changes[layer](x).unflatten(-1, (3, width))


def test_a_step_drops_its_share_of_each_matrixs_input_and_nothing_else_does() -> None:
    width, tokens, share = 16, 400, 0.25
    method = lora(rank=width, alpha=math.sqrt(width), dropout=share)
    noise = torch.Generator().manual_seed(0)
    x = 1 + torch.rand(CLIENTS, tokens, width, generator=noise)
    _, batch = pixels_and_batch()
    seen = kept_by(method, batch, "text", 0, x)
    kept = seen != 0
    assert far(seen[kept], (x[:, :, None].expand_as(seen) / (1 - share))[kept]) < 1e-6
    # Of 19,200 entries of a client and a matrix's third of them: four standard deviations.
    for c in range(CLIENTS):
        for each in range(3):
            assert abs(float(kept[c, :, each].double().mean()) - (1 - share)) < 0.022
    others = [
        kept[[1, 2, 0]],
        kept[:, :, [1, 2, 0]],
        kept_by(method, batch, "text", 1, x) != 0,
        kept_by(method, batch, "image", 0, x) != 0,
        kept_by(method, replace(batch, step=1), "text", 0, x) != 0,
    ]
    for other in others:  # drawn apart, 1 - 2 share (1 - share) of the entries are alike
        alike = (kept == other).double().mean()
        assert float(alike) == pytest.approx(1 - 2 * share * (1 - share), abs=0.02)
    assert torch.equal(kept_by(method, batch, "text", 0, x), seen)
    few = kept_by(method, batch, "text", 0, x[:, :7])
    assert torch.equal(few, seen[:, :7])  # images behind a client's own change nothing
    for unseen in (None, replace(batch, training=False, generator=None)):
        assert far(kept_by(method, unseen, "text", 0, x), x[:, :, None].expand_as(seen)) < 1e-6


def test_the_loss_is_trained_with_dropout_in_both_towers() -> None:
    params, (_, batch) = clients_of(lora()), pixels_and_batch()
    plain = lora().losses(params, batch, task())["ce"]
    for tower in ("text", "image"):
        # The other tower's changes are nothing, whatever is dropped of their input.
        one = {n: t if n.startswith(tower) else 0 * t for n, t in params.items()}
        dropping, without = (lora(dropout=p).losses(one, batch, task())["ce"] for p in (0.25, 0))
        assert bool((dropping != without).all()), tower
    assert bool((lora(dropout=0.25).losses(params, batch, task())["ce"] != plain).all())

"""The transport on a GPU: an image is one program of a Triton kernel, which iterates its scalings.

As on the host, iterations go STEPS at a time and are all kept, since images that stop together
know only afterwards when. The device alone decides who goes on: a program whose image has stopped
returns at once, and nothing waits for the device.

Axes: I images, M patches, N prompts, K classes.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from fplbench.method import masked_mean
from fplbench.transport import plain
from fplbench.transport.rule import Rule, kernels_of

STEPS = 8
WIDEST = 2**14
"""Scalings of an image, prompts times classes in powers of two, that a program holds."""


def can(similarity: Tensor) -> bool:
    """Whether an image of these similarities, [C, B, M, N, K], is small enough for a program."""
    prompts, classes = similarity.shape[3:]
    return _power(prompts) * _power(classes) <= WIDEST


def plan(similarity: Tensor, mask: Tensor, rule: Rule, training: bool) -> Tensor:
    """The plan T, [C, B, M, N, K], as of `plain.plan`."""
    clients, count, patches, prompts, classes = similarity.shape
    kernels = kernels_of(similarity, rule.eps).contiguous().view(-1, patches, prompts, classes)
    groups = (clients, count) if training else (clients * count, 1)
    before, after = _iterate(kernels, mask.reshape(groups), rule)
    u = plain.patch_scalings(
        kernels.movedim(2, 0).unsqueeze(1), before.movedim(1, 0)[:, None, :, None], rule
    )
    found = kernels * after[:, None] * u.view(-1, patches, 1, classes)
    return found.view_as(similarity).to(similarity.dtype)


def _iterate(kernels: Tensor, mask: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """The prompts' scalings before a group's last iteration and after it, each [I, N, K].

    kernels: [I, M, N, K]; mask: [G, B], the images that count, of groups that stop together.
    """
    images, patches, prompts, classes = kernels.shape
    history = kernels.new_ones(images, STEPS + 1, prompts, classes)
    moved = kernels.new_zeros(images, STEPS)
    u = torch.ones_like(kernels[:, :, 0]) if not rule.partial else moved
    numbers = torch.tensor([1 / patches, rule.mass / prompts], dtype=kernels.dtype)
    numbers = numbers.to(kernels.device)
    going = torch.ones(len(mask), dtype=torch.bool, device=mask.device)
    before, after = history[:, 0].clone(), history[:, 0].clone()
    for done in range(0, rule.max_iter, STEPS):
        steps = min(STEPS, rule.max_iter - done)
        mine = going[:, None].expand_as(mask).reshape(-1)
        _advance[(images,)](
            kernels, u, history, moved, mine.to(torch.int32), numbers, patches, classes, steps,
            N=prompts, NP=_power(prompts), KP=_power(classes), HELD=STEPS + 1, partial=rule.partial,
        )  # fmt: skip
        # [S, G]: whether a group stops in a step, by the mean over its images that count.
        each = moved[:, :steps].unbind(1)
        means = torch.stack([masked_mean(far.view(mask.shape), mask) for far in each])
        stops = ~(means >= rule.thresh)
        there = torch.arange(steps, device=stops.device)[:, None]
        last = torch.where(stops, there, steps - 1).amin(0)[:, None].expand_as(mask).reshape(-1)
        every = torch.arange(images, device=last.device)
        for kept, at in ((before, last), (after, last + 1)):
            kept.copy_(torch.where(mine[:, None, None], history[every, at], kept))
        going = going & ~stops.any(0)
        history[:, 0] = history[:, steps]
    return before, after


# Triton reads annotations, and knows its own alone.
@triton.jit  # type: ignore[untyped-decorator]
def _advance(  # type: ignore[no-untyped-def]
    kernels, u, history, moved, going, numbers, patches, classes, steps,
    N: tl.constexpr, NP: tl.constexpr, KP: tl.constexpr, HELD: tl.constexpr, partial: tl.constexpr,
):  # fmt: skip
    """One image for some steps, from history[:, 0] on. As loops.ADVANCE has it; N prompts and K
    classes are filled up to powers of two, NP and KP."""
    image = tl.program_id(0).to(tl.int64)
    if tl.load(going + image) != 0:
        n, k = tl.arange(0, NP), tl.arange(0, KP)
        there_k = k < classes
        there = (n < N)[:, None] & there_k[None, :]
        entries = n[:, None] * classes + k[None, :]
        size = N * classes
        share, mass = tl.load(numbers), tl.load(numbers + 1)
        first = image * HELD * size
        v = tl.load(history + first + entries, mask=there, other=0.0)
        for step in range(steps):
            w = v * 0
            far = tl.sum(w)
            for m in range(patches):
                line = tl.load(
                    kernels + (image * patches + m) * size + entries, mask=there, other=0.0
                )
                scaling = tl.where(there_k, share / tl.sum(line * v, axis=0), 0.0)
                if partial:
                    scaling = tl.where(scaling > 1, 1.0, scaling)
                else:
                    place = u + (image * patches + m) * classes + k
                    far += tl.sum(tl.abs(scaling - tl.load(place, mask=there_k, other=0.0)))
                    tl.store(place, scaling, mask=there_k)
                w += line * scaling[None, :]
            new = tl.where(there, mass / w, 0.0)
            if partial:
                far += tl.sum(tl.abs(new - v))
                far = far / (N * classes)
            else:
                far = far / (patches * classes)
            v = new
            tl.store(history + first + (step + 1) * size + entries, v, mask=there)
            tl.store(moved + image * (HELD - 1) + step, far)


def _power(number: int) -> int:
    return 1 << (number - 1).bit_length()

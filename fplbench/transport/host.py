"""The transport on a host: images are shared out among threads, each iterated in one fused loop.

Where many images stop together, none knows when while it is iterated. So they go STEPS iterations
at a time and keep their scalings of each; who has stopped takes those of the step where it did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fplbench.transport import loops
from fplbench.transport.rule import Rule, kernels_of

STEPS = 8
PARTS = 4  # of a thread's images: who has the quick ones takes over from the others
ALONE = 2**14  # kernel entries below which a second thread is not worth waking

Ints = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]
Share = Callable[..., None]  # of images, a loop, and what the loop is given beside them


def solve(
    similarity: Tensor, mask: Tensor, rule: Rule, training: bool, keep: bool
) -> tuple[Tensor, Tensor | None]:
    """<T, S>, [C, B, K], and T, [C, B, M, N, K], where it is to be kept.

    As `fplbench.transport.transported`; images that do not count have zeros.
    """
    clients, count, patches, prompts, classes = similarity.shape
    similar = similarity.detach().contiguous().view(-1, patches, prompts, classes)
    kernels = kernels_of(similar, rule.eps)  # [I, M, N, K], I = C B
    similar = similar.to(kernels.dtype)
    gained = kernels.new_zeros(len(kernels), classes)
    numbers = np.array([1 / patches, rule.mass / prompts, rule.thresh], gained.numpy().dtype)
    images = mask.flatten().nonzero()[:, 0].numpy()
    with _shared_out(kernels.numel()) as share:
        groups = images // count if training else images
        ends = _iterate(kernels, images, groups, numbers, rule, training, share)
        given = kernels.numpy(), ends, similar.numpy(), gained.numpy(), numbers
        share(images, loops.FINISH[numbers.dtype.name], *given, rule.partial, keep)
    found = gained.view(clients, count, classes).to(similarity.dtype)
    if not keep:
        return found, None
    if len(images) < len(kernels):
        kernels[~mask.flatten()] = 0
    return found, kernels.view_as(similarity).to(similarity.dtype)


def _iterate(
    kernels: Tensor,
    images: Ints,
    groups: Ints,
    numbers: Floats,
    rule: Rule,
    together: bool,
    share: Share,
) -> Floats:
    """[I, 2, N, K]: the prompts' scalings before an image's last iteration and after it.

    kernels: [I, M, N, K]; images: those that count; groups: who of them stop together.
    """
    every, _, prompts, classes = kernels.shape
    ends = kernels.new_ones(every, 2, prompts, classes).numpy()
    history = kernels.new_ones(every, STEPS + 1, prompts, classes).numpy()
    moved = kernels.new_zeros(every, STEPS).numpy()
    kept = 0 if rule.partial else every  # only the full transport's rule looks at u
    u = torch.ones_like(kernels[:kept, :, 0]).numpy()
    given = kernels.numpy(), u, history, moved, numbers
    advance = loops.ADVANCE[numbers.dtype.name]
    for done in range(0, rule.max_iter, STEPS):
        steps = min(STEPS, rule.max_iter - done)
        share(images, advance, steps, *given, rule.partial, not together)
        last, going = _last_steps(moved[images, :steps], groups, numbers[2])
        ends[images, 0], ends[images, 1] = history[images, last], history[images, last + 1]
        images, groups = images[going], groups[going]
        if not len(images):
            break
        history[images, 0] = history[images, steps]
    return ends


def _last_steps(moved: Floats, groups: Ints, thresh: Any) -> tuple[Ints, NDArray[np.bool_]]:
    """The step at which each image stops, or the last one, and who goes on; each [I].

    moved: [I, steps]; groups rise; one stops by its mean, also where that is no number.
    """
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    sizes = np.diff(starts, append=len(groups))
    means = np.add.reduceat(moved.astype(np.float64), starts) / sizes[:, None]
    stops = ~(means.astype(moved.dtype) >= thresh)
    going = ~stops.any(1)
    last = np.where(going, moved.shape[1] - 1, stops.argmax(1))
    return np.repeat(last, sizes), np.repeat(going, sizes)


@contextmanager
def _shared_out(entries: int) -> Iterator[Share]:
    """Calls a loop with images, on as many threads as torch has; small work on this one."""
    threads = torch.get_num_threads() if entries >= ALONE else 1
    if threads == 1:
        yield lambda images, loop, *given: loop(images, *given)
        return
    with ThreadPoolExecutor(threads) as pool:

        def share(images: Ints, loop: loops.Loop, *given: Any) -> None:
            parts = np.array_split(images, max(1, min(PARTS * threads, len(images))))
            list(pool.map(lambda part: loop(part, *given), parts))

        yield share

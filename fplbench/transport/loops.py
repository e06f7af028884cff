"""The host's loops over an image's transport, compiled by numba at their first call.

An image's kernel stays in the processor's cache while its scalings are iterated; classes lie
last, so that vector instructions take several at once. An image is computed by one thread, from
its own numbers, in a fixed order: its bits depend neither on threads nor on who is beside it.

Axes: I images, M patches, N prompts, K classes. The arrays of a call are contiguous and all
float32 or all float64; they are indexed in place, since a slice costs numba more than a patch.

numba compiles once for a machine and keeps the code beside this file or, where that cannot be
written, in the user's cache folder (NUMBA_CACHE_DIR names another).
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Loop = Callable[..., None]
OPTIONS: dict[str, Any] = {
    "error_model": "numpy",  # 1 / 0 is infinite
    # Vector instructions need sums in any order, and multiply and add as one. NaN is kept.
    "fastmath": {"reassoc", "contract"},
}


def _advance(
    images: NDArray[np.int64],
    steps: int,
    kernels: Array,
    u: Array,
    history: Array,
    moved: Array,
    numbers: Array,
    partial: bool,
    alone: bool,
) -> None:
    """Iterate the images named for some steps, from history[:, 0] on.

    kernels: [I, M, N, K]; history: [I, S + 1, N, K], the prompts' scalings; moved: [I, S], how far
    the scalings moved in a step, in the mean: where `partial` the prompts', else the patches',
    which u, [I, M, K], keeps for that. numbers: 1 / M, a prompt's mass, the threshold. alone: an
    image ends at its first move below the threshold.
    """
    _, patches, prompts, classes = kernels.shape
    mass, thresh = numbers[1], numbers[2]
    v, w = np.empty((2, prompts, classes), kernels.dtype)
    row = np.empty(classes, kernels.dtype)
    for image in images:
        for n in range(prompts):
            for k in range(classes):
                v[n, k] = history[image, 0, n, k]
        for step in range(steps):
            total = _sum_patches(image, kernels, v, w, u, row, numbers[0], partial)
            for n in range(prompts):
                for k in range(classes):
                    new = mass / w[n, k]
                    if partial:
                        total += abs(new - v[n, k])
                    v[n, k] = new
                    history[image, step + 1, n, k] = new
            mean = total / kernels.dtype.type((prompts if partial else patches) * classes)
            moved[image, step] = mean
            if alone and not mean >= thresh:  # also where it is no number
                break


def _sum_patches(
    image: int, kernels: Array, v: Array, w: Array, u: Array, row: Array, share: Any, partial: bool
) -> Any:
    """w [N, K]: what the patches hold out to each prompt, from v; how far their scalings moved.

    row: [K], scratch.
    """
    _, patches, prompts, classes = kernels.shape
    one, moved = kernels.dtype.type(1), kernels.dtype.type(0)
    for n in range(prompts):
        for k in range(classes):
            w[n, k] = 0
    for m in range(patches):
        if prompts == 2:  # one loop instead of four: twice as fast
            for k in range(classes):
                first, second = kernels[image, m, 0, k], kernels[image, m, 1, k]
                scaling = one / (first * v[0, k] + second * v[1, k]) * share
                if partial:
                    scaling = one if scaling > one else scaling
                else:
                    moved += abs(scaling - u[image, m, k])
                    u[image, m, k] = scaling
                w[0, k] += first * scaling
                w[1, k] += second * scaling
        else:
            _scale_patch(image, m, kernels, v, row, share, partial)
            if not partial:
                for k in range(classes):
                    moved += abs(row[k] - u[image, m, k])
                    u[image, m, k] = row[k]
            for n in range(prompts):
                for k in range(classes):
                    w[n, k] += kernels[image, m, n, k] * row[k]
    return moved


def _scale_patch(
    image: int, m: int, kernels: Array, v: Array, row: Array, share: Any, partial: bool
) -> None:
    """A patch's scaling for each class, into row [K]; v: [N, K]."""
    _, _, prompts, classes = kernels.shape
    one = kernels.dtype.type(1)
    for k in range(classes):
        row[k] = kernels[image, m, 0, k] * v[0, k]
    for n in range(1, prompts):
        for k in range(classes):
            row[k] += kernels[image, m, n, k] * v[n, k]
    for k in range(classes):
        scaling = one / row[k] * share
        if partial:
            scaling = one if scaling > one else scaling
        row[k] = scaling


def _finish(
    images: NDArray[np.int64],
    kernels: Array,
    ends: Array,
    similarity: Array,
    gained: Array,
    numbers: Array,
    partial: bool,
    keep: bool,
) -> None:
    """gained [I, K]: <T, similarity> of the images named; `keep` puts T in the kernels' place.

    kernels, similarity: [I, M, N, K]; ends: [I, 2, N, K], the prompts' scalings before the last
    iteration and after it.
    """
    _, patches, prompts, classes = kernels.shape
    v, w = np.empty((2, prompts, classes), kernels.dtype)
    row = np.empty(classes, kernels.dtype)
    for image in images:
        for n in range(prompts):
            for k in range(classes):
                v[n, k] = ends[image, 0, n, k]
                w[n, k] = ends[image, 1, n, k]
        for m in range(patches):
            _scale_patch(image, m, kernels, v, row, numbers[0], partial)
            for n in range(prompts):
                for k in range(classes):
                    mass = kernels[image, m, n, k] * w[n, k] * row[k]
                    gained[image, k] += mass * similarity[image, m, n, k]
                    if keep:
                        kernels[image, m, n, k] = mass


def _compiled(function: Any, dtype: str) -> Loop:
    """The function for arrays of one type, to be called without Python's lock.

    Each has its own file in numba's cache: several processes that compile at once then write the
    same thing, while two types in one file could take each other's place.
    """
    own = FunctionType(function.__code__, function.__globals__, function.__name__)
    own.__qualname__ = f"{function.__name__}_{dtype}"
    try:
        made: Loop = njit(nogil=True, cache=True, **OPTIONS)(own)
    except RuntimeError:  # no folder can be written: every process compiles for itself
        made = njit(nogil=True, **OPTIONS)(own)
    return made


TYPES = ("float32", "float64")
_scale_patch = njit(inline="always", **OPTIONS)(_scale_patch)
_sum_patches = njit(inline="always", **OPTIONS)(_sum_patches)
ADVANCE = {name: _compiled(_advance, name) for name in TYPES}
FINISH = {name: _compiled(_finish, name) for name in TYPES}

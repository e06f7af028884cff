"""Time, memory and arithmetic of a computation, and the rate that this machine could reach."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from fplbench.engine.memory import peak_bytes

Work = Callable[[], object]


def seconds(work: Work, rounds: int, device: torch.device) -> float:
    """The median time of some calls, after one that is not counted."""
    return in_turn({"work": work}, {"work": rounds}, device)["work"]


def in_turn(
    works: dict[str, Work], rounds: dict[str, int], device: torch.device, warm: bool = False
) -> dict[str, float]:
    """The median time of each, their calls spread over the same stretch of time.

    A machine's speed drifts; a ratio is fair only when both sides saw the same weather.
    warm: each was called before, else a first call is not counted.
    """
    for work in works.values() if not warm else ():
        once(work, device)
    times: dict[str, list[float]] = {name: [] for name in works}
    most = max(rounds.values())
    for turn in range(most):
        for name, work in works.items():
            if turn * rounds[name] // most != (turn - 1) * rounds[name] // most or turn == 0:
                times[name].append(once(work, device))
    return {name: statistics.median(found) for name, found in times.items()}


def once(work: Work, device: torch.device) -> float:
    """Its time in one call."""
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def flops_and_peak(work: Work) -> tuple[int, int]:
    """Floating-point operations of all matrix products, forward and backward, and the most bytes
    of tensors that were there together, of one call."""
    counter = FlopCounterMode(display=False)

    def counted() -> None:
        with counter:
            work()

    peak = peak_bytes(counted)
    return int(counter.get_total_flops()), peak


def matrix_rate(width: int, rows: int, device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a transformer layer's products, forward and backward, on `rows` tokens.

    The best of several calls for each shape: what this machine can do, not what it happened to.
    """
    spent = total = 0.0
    for inner, outer in (
        (width, 3 * width),
        (width, width),
        (width, 4 * width),
        (4 * width, width),
    ):
        weight = torch.randn(outer, inner, device=device, dtype=dtype)
        x = torch.randn(rows, inner, device=device, dtype=dtype)
        y = torch.randn(rows, outer, device=device, dtype=dtype)

        def forward(x: torch.Tensor = x, weight: torch.Tensor = weight) -> object:
            return x @ weight.t()

        def backward(y: torch.Tensor = y, weight: torch.Tensor = weight) -> object:
            return y @ weight

        for product in (forward, backward):
            once(product, device)
            spent += min(once(product, device) for _ in range(7))
            total += 2 * rows * inner * outer
    return total / spent

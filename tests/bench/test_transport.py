"""The host's fused transport beside the same with plain tensors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from measure import in_turn

from fplbench.transport import Rule, host, plain

Row = Callable[..., None]
CPU = torch.device("cpu")
RULES = {
    "COT": Rule(partial=True, mass=0.8, eps=0.1, thresh=1e-3, max_iter=100),
    "Sinkhorn": Rule(partial=False, mass=1, eps=0.1, thresh=1e-3, max_iter=100),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", RULES)
def test_transport(kind: str, training: bool, threads: int, row: Row) -> None:
    """14 images of ten clients, with the embedded backbone's 36 patches, two prompts, 50 classes.

    They are random; how many iterations they need is not what pictures need.
    """
    noise = torch.Generator().manual_seed(0)
    similarity = (0.15 * torch.randn(10, 14, 36, 2, 50, generator=noise)).clamp(-1, 1)
    mask, rule = torch.ones(10, 14, dtype=torch.bool), RULES[kind]

    def tensors() -> object:
        plan = plain.plan(similarity, mask, rule, training)
        return (plan * similarity).sum((2, 3))

    def fused() -> object:
        return host.solve(similarity, mask, rule, training, keep=training)

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    took = in_turn({"ours": fused, "plain": tensors}, {"ours": 9, "plain": 9}, CPU)
    torch.set_num_threads(before)
    row(
        "transport",
        case=f"{kind}, {'training' if training else 'evaluation'}",
        size=threads,
        ms=1e3 * took["ours"],
        plain_ms=1e3 * took["plain"],
        ratio=took["plain"] / took["ours"],
        target=20.0,
    )

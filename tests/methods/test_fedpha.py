"""How many directions FedPHA takes out of the private prompt."""

from __future__ import annotations

import pytest
import random_clients as some
import torch


@pytest.mark.parametrize(
    ("settings", "n", "cut"),
    [
        ({}, 4, 1),
        ({}, 5, 1),
        ({}, 10, 1),
        ({}, 16, 3),
        ({"ratio": 0.8}, 5, 0),
        ({"ratio": 1}, 8, 0),
    ],
)
def test_one_direction_at_least_unless_a_ratio_is_set(
    settings: dict[str, float], n: int, cut: int
) -> None:
    """int(5 * (1 - 0.8)) is 0 in floating point, as in the published code."""
    method = some.method("fedpha", **settings)
    assert method.cut(n) == cut  # type: ignore[attr-defined]
    noise = torch.Generator().manual_seed(0)
    local, whole = (torch.randn(2, n, 32, generator=noise) for _ in range(2))
    moved = (method.projected(local, whole) - local).abs().max()  # type: ignore[attr-defined]
    assert (float(moved) > 0.1) == (cut > 0)

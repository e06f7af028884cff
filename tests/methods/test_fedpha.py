"""How many directions FedPHA and FedPHA-HE take out of the private prompt."""

from __future__ import annotations

import pytest
import random_clients as some
import torch


@pytest.mark.parametrize("name", ["fedpha", "fedpha_he"])
@pytest.mark.parametrize(
    ("settings", "n", "cut"),
    [
        ({}, 4, 1),
        ({}, 5, 1),
        ({}, 10, 1),
        ({}, 16, 3),
        ({"ratio": 0.5}, 8, 4),
        ({"least_removed": 2}, 8, 2),
        ({"least_removed": 0}, 5, 0),
        ({"least_removed": 0, "ratio": 1}, 8, 0),
    ],
)
def test_one_direction_at_least_unless_told_otherwise(
    name: str, settings: dict[str, float], n: int, cut: int
) -> None:
    """int(5 * (1 - 0.8)) is 0 in floating point, as in the published code."""
    method = some.method(name, **settings)
    noise = torch.Generator().manual_seed(0)
    local, whole = (torch.randn(2, n, 32, generator=noise) for _ in range(2))
    removed = local - method.projected(local, whole)  # type: ignore[attr-defined]
    assert torch.linalg.matrix_rank(removed, atol=1e-3).tolist() == [cut, cut]

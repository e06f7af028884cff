"""Problems of transport for tests, and rules by which they end."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from fplbench.transport import Rule


def similarities(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """[C, B, M, N, K]; images differ in spread, and so in how many iterations they need."""
    noise = torch.Generator().manual_seed(seed)
    clients, images = shape[:2]
    spread = torch.linspace(0.05, 0.6, clients * images).view(clients, images, 1, 1, 1)
    return (spread * torch.randn(shape, generator=noise)).clamp(-1, 1).to(dtype)


# Thresholds so coarse that one iteration more or less would show; 0 is never reached.
RULES = st.builds(
    Rule,
    partial=st.booleans(),
    mass=st.sampled_from([0.3, 0.8, 1.0]),
    eps=st.sampled_from([0.01, 0.05, 0.1, 1.0]),
    thresh=st.sampled_from([0, 0.02, 0.2]),
    max_iter=st.sampled_from([1, 2, 7, 8, 9, 16, 30]),
)

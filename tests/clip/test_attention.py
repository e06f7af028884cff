"""The written-out attention is torch's own, in values and gradients."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_clip import far

from fplbench.clip.attention import attend_in_bins, attend_plainly


@settings(max_examples=60, deadline=None)
@given(
    prompts=st.integers(1, 3),
    heads=st.integers(1, 3),
    size=st.sampled_from([2, 5, 8]),
    bins=st.integers(1, 4),
    width=st.integers(1, 6),
    n=st.integers(0, 4),
    before=st.integers(0, 2),
    seed=st.integers(0, 9),
)
def test_written_out_attention_is_torchs(
    prompts: int, heads: int, size: int, bins: int, width: int, n: int, before: int, seed: int
) -> None:
    noise = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=noise, dtype=torch.float64)

    qkv = random(prompts, n + bins * width, 3 * heads * size).requires_grad_()
    known = random(3, heads, before, size)
    x = before + n + width
    sees = (random(bins, x, x) > 0.5) | torch.eye(x, dtype=torch.bool)
    mask = torch.zeros(bins, x, x, dtype=torch.float64).masked_fill(~sees, float("-inf"))
    weights = random(prompts, n + bins * width, heads * size)
    found = []
    for way in (attend_in_bins, attend_plainly):
        out = way(qkv, known, mask, n)
        found.append((out, *torch.autograd.grad((out * weights).sum(), qkv)))
    for ours, theirs in zip(*found, strict=True):
        assert far(ours, theirs) < 1e-12

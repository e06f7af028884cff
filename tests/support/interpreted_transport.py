"""The GPU's kernel beside the plain tensors: `TRITON_INTERPRET=1 python -m interpreted_transport`.

Triton decides when it is first imported whether kernels are interpreted, so it takes a process.
"""

from __future__ import annotations

import warnings

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from transports import RULES, similarities

from fplbench.transport import Rule, device, plain


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    shape=st.tuples(*(st.integers(1, most) for most in (3, 3, 6, 4, 9))),
    rule=RULES,
    training=st.booleans(),
    wide=st.booleans(),
    seed=st.integers(0, 2**16),
)
def the_kernel_is_the_plain_code(
    shape: tuple[int, ...], rule: Rule, training: bool, wide: bool, seed: int
) -> None:
    dtype = torch.float64 if wide else torch.float32
    similarity = similarities(*shape, seed=seed, dtype=dtype)
    mask = torch.rand(shape[:2], generator=torch.Generator().manual_seed(seed)) < 0.7
    found = device.plan(similarity, mask, rule, training)
    oracle = plain.plan(similarity, mask, rule, training)
    near = {"rtol": 1e-9, "atol": 1e-11} if wide else {"rtol": 1e-5, "atol": 1e-6}
    assert found.dtype == dtype
    assert_close(found[mask], oracle[mask], **near)


if __name__ == "__main__":
    warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of lanes that count for nothing
    the_kernel_is_the_plain_code()
    print("the same")

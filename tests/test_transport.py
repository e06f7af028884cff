"""The host's fused loop beside the plain tensors, which are the oracle."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from environments import run
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close
from transports import RULES, similarities

from fplbench.transport import Rule, host, loops, plain, transported

COT = Rule(partial=True, mass=0.8, eps=0.1, thresh=1e-3, max_iter=100)
SINKHORN = Rule(partial=False, mass=1, eps=0.1, thresh=1e-3, max_iter=100)


def everybody(similarity: Tensor) -> Tensor:
    return torch.ones(similarity.shape[:2], dtype=torch.bool)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    shape=st.tuples(*(st.integers(1, most) for most in (3, 4, 9, 4, 19))),
    rule=RULES,
    training=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 2**16),
)
def test_the_fused_loop_is_the_plain_code(
    shape: tuple[int, ...], rule: Rule, training: bool, dtype: torch.dtype, seed: int
) -> None:
    similarity = similarities(*shape, seed=seed, dtype=dtype)
    mask = torch.rand(shape[:2], generator=torch.Generator().manual_seed(seed)) < 0.7
    found, plan = host.solve(similarity, mask, rule, training, keep=True)
    oracle = plain.plan(similarity, mask, rule, training)
    assert plan is not None
    assert plan.dtype == found.dtype == dtype
    near = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-11}
    assert_close(plan[mask], oracle[mask], **near)
    assert_close(found[mask], (oracle * similarity).sum((2, 3))[mask], **near)
    assert not plan[~mask].any()
    assert not found[~mask].any()
    again, nothing = host.solve(similarity, mask, rule, training, keep=False)
    assert nothing is None
    assert torch.equal(again, found)


@pytest.mark.parametrize("rule", [COT, SINKHORN])
@pytest.mark.parametrize("training", [True, False])
def test_published_settings_agree_to_rounding(rule: Rule, training: bool) -> None:
    similarity = 0.15 * similarities(3, 10, 36, 2, 50)
    found, _ = host.solve(similarity, everybody(similarity), rule, training, keep=False)
    oracle = plain.plan(similarity, everybody(similarity), rule, training)
    assert_close(found, (oracle * similarity).sum((2, 3)), rtol=0, atol=2e-6)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("rule", [COT, SINKHORN])
@pytest.mark.parametrize("training", [True, False])
def test_threads_change_no_bit(rule: Rule, training: bool) -> None:
    similarity = similarities(3, 7, 20, 2, 30)
    assert similarity.numel() > host.ALONE
    mask = everybody(similarity)
    mask[1, 4:] = False
    answers = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        answers.append(host.solve(similarity, mask, rule, training, keep=True))
    for found, plan in answers[1:]:
        assert torch.equal(found, answers[0][0])
        assert plan is not None
        assert answers[0][1] is not None
        assert torch.equal(plan, answers[0][1])


@pytest.mark.parametrize("rule", [COT, SINKHORN])
@pytest.mark.parametrize("training", [True, False])
def test_who_is_beside_it_changes_no_bit_of_an_answer(rule: Rule, training: bool) -> None:
    """Clients, in evaluation images too, computed in another company or alone."""
    similarity = similarities(3, 4, 11, 2, 13)
    whole, _ = host.solve(similarity, everybody(similarity), rule, training, keep=False)
    size = 4 if training else 1
    for client in range(3):
        for first in range(0, 4, size):
            part = similarity[client : client + 1, first : first + size]
            alone, _ = host.solve(part, everybody(part), rule, training, keep=False)
            assert torch.equal(alone[0], whole[client, first : first + size])


def test_numbers_that_are_none_stay_so_and_stay_with_their_image() -> None:
    similarity = similarities(1, 3, 5, 2, 4)
    similarity[0, 1, 2, 0, 3] = float("nan")
    found, _ = host.solve(similarity, everybody(similarity), COT, False, keep=False)
    assert found[0, 1, 3].isnan()
    assert found[0, [0, 2]].isfinite().all()


def test_no_images_at_all_give_zeros() -> None:
    similarity = similarities(2, 3, 5, 2, 4)
    found, _ = host.solve(similarity, ~everybody(similarity), COT, True, keep=False)
    assert torch.equal(found, torch.zeros(2, 3, 4))


def test_the_gradient_is_the_plan() -> None:
    similarity = similarities(2, 3, 5, 3, 4).requires_grad_()
    mask = everybody(similarity)
    weights = torch.randn(2, 3, 4)
    (weights * transported(similarity, mask, SINKHORN, training=True)).sum().backward()
    _, plan = host.solve(similarity, mask, SINKHORN, training=True, keep=True)
    assert plan is not None
    assert similarity.grad is not None
    assert_close(similarity.grad, weights[:, :, None, None] * plan)


def test_without_a_folder_to_write_to_it_is_compiled_all_the_same() -> None:
    """Code that lies in no file has no place in numba's cache, like code in a read-only one."""
    made: dict[str, object] = {}
    exec("def double(x):\n    x[0] *= 2", made)
    double = loops._compiled(made["double"], "float32")
    x = torch.ones(1)
    double(x.numpy())
    assert x.tolist() == [2]


def test_numba_is_loaded_only_when_a_transport_is_solved(tmp_path: Path) -> None:
    code = (
        "import sys, fplbench.cli.app; from fplbench.plugins import registry; registry.methods();"
        "print('numba' in sys.modules)"
    )
    assert run(sys.executable, "-c", code, cwd=tmp_path).strip() == "False"


@pytest.mark.slow
def test_processes_that_compile_at_once_leave_code_that_the_next_one_uses(tmp_path: Path) -> None:
    code = (
        "import torch; from fplbench.transport import *; from fplbench.transport import loops;"
        "S = torch.linspace(-1, 1, 120).view(1, 2, 5, 2, 6); mask = S[..., 0, 0, 0] < 2;"
        "[transported(S, mask, Rule(True, 0.8, eps, 1e-3, 9), False) for eps in (0.1, 0.01)];"
        "made = [*loops.ADVANCE.values(), *loops.FINISH.values()];"
        "print(sum(sum(one.stats.cache_hits.values()) for one in made))"
    )
    command = [sys.executable, "-c", code]
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    both = [subprocess.Popen(command, env=env) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    after = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert after.stdout.strip() == "4"

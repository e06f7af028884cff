"""A local step of every method, beside what published code does for one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cases import CASES, METHODS, Case, ours, plain
from measure import flops_and_peak, in_turn, matrix_rate
from plain_reference import PlainText
from pytest_benchmark.fixture import BenchmarkFixture

from fplbench.clip.backbone import Backbone
from fplbench.engine.memory import peak_bytes

Row = Callable[..., None]
OURS, THEIRS = 5, 2  # calls whose median counts; beyond the main case three and one
POSITIONS = 77
PASSES = {"fedpgp": (2, 4), "fedotp": (2, 2)}  # through the text tower, ours and published
TARGETS = {"fedpgp": 55.0}
OTHER_TARGET = 40.0


# A step of CoOp or pFedPrompt is one of PromptFL: beyond the main case that is not shown again.
MEASURED = [
    pytest.param(case, name, id=f"{case.name}-{name}")
    for case in CASES
    for name in METHODS
    if case is CASES[0] or name not in ("coop", "pfedprompt")
]


@pytest.mark.parametrize(("case", "name"), MEASURED)
def test_local_step(
    case: Case, name: str, clip: Backbone, row: Row, benchmark: BenchmarkFixture
) -> None:
    device, together, alone = clip.device, ours(case, name, clip), plain(case, name, clip)
    pixels = torch.randn(case.batch, 3, *clip.image_size, device=device)
    labels = torch.arange(case.batch, device=device) % len(case.classnames)

    def published() -> object:
        return alone.step(pixels, labels)

    mine, theirs = PASSES.get(name, (1, 1))
    tokens = case.n_ctx + together.task.names.packed(case.n_ctx).tokens
    shape = clip.text.width, case.clients * mine * tokens, device, torch.float32
    rate = matrix_rate(*shape)
    (products, peak), plain_peak = flops_and_peak(together.step), peak_bytes(published)
    works = {"ours": together.step, "plain": published}
    rounds = {"ours": OURS, "plain": THEIRS} if case is CASES[0] else {"ours": 3, "plain": 1}
    took = in_turn(works, rounds, device, warm=True)
    rate = max(rate, matrix_rate(*shape))
    benchmark.pedantic(together.step, rounds=1)
    row(
        "steps",
        case=case.name,
        method=name,
        clients=case.clients,
        ms=1e3 * took["ours"] / case.clients,
        plain_ms=1e3 * took["plain"],
        ratio=took["plain"] / (took["ours"] / case.clients),
        target=TARGETS.get(name, OTHER_TARGET) if case is CASES[0] else None,
        positions=mine * tokens,
        plain_positions=theirs * len(case.classnames) * POSITIONS,
        peak_mib=peak / 2**20,
        plain_peak_mib=plain_peak / 2**20,
        matrix_share=products / took["ours"] / rate,
    )


@pytest.mark.parametrize(("count", "target"), [(19, 16.0), (100, 18.0)])
def test_text_alone(
    count: int, target: float, clip: Backbone, row: Row, benchmark: BenchmarkFixture
) -> None:
    device = clip.device
    case = next(case for case in CASES if len(case.classnames) == count)
    names = clip.text.tokenize(case.classnames)
    together = torch.zeros(case.clients, 1, 16, clip.text.width, device=device).normal_(0, 0.02)
    alone = together[0, 0].clone().requires_grad_()
    together.requires_grad_()
    whole = PlainText(clip, case.classnames, 16)

    def fast() -> object:
        return torch.autograd.grad(clip.text.encode_prompts(together, names).sum(), together)

    def published() -> object:
        return torch.autograd.grad(whole(alone).sum(), alone)

    tokens = 16 + names.packed(16).tokens
    shape = clip.text.width, case.clients * tokens, device, torch.float32
    rate = matrix_rate(*shape)
    products, _ = flops_and_peak(fast)
    took = in_turn({"ours": fast, "plain": published}, {"ours": OURS, "plain": THEIRS}, device)
    rate = max(rate, matrix_rate(*shape))
    benchmark.pedantic(fast, rounds=1)
    row(
        "text",
        case=f"{count} classes",
        clients=case.clients,
        ms=1e3 * took["ours"] / case.clients,
        plain_ms=1e3 * took["plain"],
        ratio=took["plain"] / (took["ours"] / case.clients),
        target=target,
        positions=tokens,
        plain_positions=count * POSITIONS,
        matrix_share=products / took["ours"] / rate,
        matrix_share_target=0.7,
    )


PARTS = {
    "products with frozen weights": ("aten::mm", "aten::addmm"),
    "attention": ("aten::bmm", "aten::_softmax", "aten::_softmax_backward_data"),
    "activation": ("gelu", "silu", "sigmoid"),
    "norms": ("layer_norm",),
}


def test_where_the_time_goes(clip: Backbone, row: Row) -> None:
    """Shares of the time spent inside operations, in a FedPGP step of the main case."""
    together = ours(CASES[0], "fedpgp", clip)
    together.step()
    activity = torch.profiler.ProfilerActivity
    on_gpu = clip.device.type == "cuda"
    with torch.profiler.profile(activities=[activity.CUDA if on_gpu else activity.CPU]) as found:
        together.step()
    spent = {
        event.key: event.self_device_time_total if on_gpu else event.self_cpu_time_total
        for event in found.key_averages()
    }
    whole, named = sum(spent.values()), 0.0
    for part, keys in PARTS.items():
        share = sum(t for key, t in spent.items() if any(k in key for k in keys)) / whole
        named += share
        row("profile", part=part, share=share)
    row("profile", part="copies, sums and the rest", share=1 - named)

"""Chunks: planned from what a step takes, halved where memory runs out, equal all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from small_federation import Make

from fplbench.engine import chunks
from fplbench.engine.chunks import Chunk, in_chunks, plan_chunk
from fplbench.engine.fit import run_round
from fplbench.engine.memory import peak_bytes
from fplbench.method import Batch, Method, Param, Round, Task, Tensors
from fplbench.plugins import registry
from fplbench.spec import Training

TRAINING = Training(rounds=2, local_epochs=1, batch_size=4, lr=0.05)
PromptFL = registry.methods().get("promptfl")
KIB = torch.zeros(256)  # of float32


class Hungry(PromptFL):  # type: ignore[valid-type,misc]
    """PromptFL on a machine that holds two clients."""

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        if len(batch.mask) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        terms: Tensors = super().losses(params, batch, task)
        return terms


def make(kind: type[Method]) -> Method:
    return kind(kind.Config(n_ctx=3))  # type: ignore[call-arg]


def test_the_peak_counts_what_lives_together() -> None:
    def one_after_the_other() -> None:
        for _ in range(5):
            KIB.clone()

    def together() -> list[torch.Tensor]:
        return [KIB.clone() for _ in range(5)]

    def in_place_and_views() -> torch.Tensor:
        return KIB.clone().add_(1).view(16, 16).t()[:3]

    def inside_and_gone() -> None:
        kept = [KIB.clone(), KIB.clone()]
        del kept[0]
        (KIB + 1).sum()

    assert peak_bytes(one_after_the_other) <= 2 * 1024  # a new one before the old one is gone
    assert peak_bytes(together) == 5 * 1024
    assert peak_bytes(in_place_and_views) == 1024
    assert peak_bytes(inside_and_gone) in (2048, 2052)
    assert peak_bytes(lambda: KIB.view(2, 128)) == 0


def test_the_peak_sees_what_a_backward_pass_keeps() -> None:
    x = torch.zeros(256, requires_grad=True)

    def step() -> object:
        y = x
        for _ in range(10):
            y = y.exp()  # each keeps its result
        return torch.autograd.grad(y.sum(), x)

    assert 10 * 1024 <= peak_bytes(step) <= 14 * 1024


def test_more_budget_takes_more_clients(federation: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    fed = federation(make(PromptFL))
    assert plan_chunk(fed, TRAINING).clients == 3
    one = chunks._bytes_of_a_step(fed, TRAINING)
    assert one == chunks._bytes_of_a_step(fed, TRAINING)
    monkeypatch.setitem(chunks.BUDGET, "cpu", 2 * one)
    assert plan_chunk(fed, TRAINING).clients == 2
    monkeypatch.setitem(chunks.BUDGET, "cpu", 1)
    assert plan_chunk(fed, TRAINING).clients == 1


def test_a_chunk_takes_what_was_estimated(federation: Make) -> None:
    fed = federation(make(PromptFL))
    one = chunks._bytes_of_a_step(fed, TRAINING)
    three = peak_bytes(lambda: run_round(fed, TRAINING, 1, Chunk(3)))
    assert one < three < 1.2 * 3 * one


def test_a_chunk_too_large_is_halved_and_nothing_changes(federation: Make) -> None:
    short, two = federation(make(Hungry)), federation(make(PromptFL))
    planned, fits = Chunk(3), Chunk(1)
    for index in (1, 2):
        run_round(short, TRAINING, index, planned)
        run_round(two, TRAINING, index, fits)
    assert (planned.clients, planned.planned) == (1, 3)
    assert all(torch.equal(two.server[name], value) for name, value in short.server.items())


def each(chunk: Chunk, work: Callable[[torch.Tensor], int | None]) -> list[int | None]:
    done = []
    for attempt in in_chunks(torch.arange(5), chunk):
        with attempt:
            done.append(work(attempt.clients))
    return done


def test_one_client_too_many_is_an_error() -> None:
    def work(part: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("no memory")

    with pytest.raises(torch.OutOfMemoryError):
        each(Chunk(4), work)


def test_other_errors_are_not_taken_for_a_shortage() -> None:
    calls = []

    def work(part: torch.Tensor) -> None:
        calls.append(len(part))
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        each(Chunk(4), work)
    assert calls == [4]


def test_a_host_without_memory_is_seen() -> None:
    sizes = []

    def work(part: torch.Tensor) -> int:
        sizes.append(len(part))
        if len(part) > 2:
            torch.empty(2**60)
        return len(part)

    assert each(Chunk(5), work) == [2, 2, 1]
    assert sizes == [5, 2, 2, 1]


class HungryServer(PromptFL):  # type: ignore[valid-type,misc]
    """A private context on a machine that can send one client's at a time."""

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        own = torch.zeros(3)
        return super().init(task, generator) | {"own": Param(own, trained=False, shared=False)}

    def end_round(self, params: Tensors, r: Round) -> Tensors:
        return {"own": params["own"] + 1}

    def upload(self, params: Tensors, r: Round) -> Tensors:
        if len(r.clients) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        sent: Tensors = super().upload(params, r)
        return sent


def test_clients_that_could_not_send_begin_their_round_again(federation: Make) -> None:
    fed = federation(make(HungryServer))
    run_round(fed, TRAINING, 1, Chunk(3))
    assert fed.private["own"].unique().tolist() == [1]


def test_a_step_is_counted_with_all_views_that_a_visit_has_at_hand(federation: Make) -> None:
    fed = federation(make(PromptFL))
    epochs = TRAINING.model_copy(update={"local_epochs": 4})
    plain = chunks._bytes_of_a_step(fed, epochs)
    assert plain < 1.01 * chunks._bytes_of_a_step(fed, TRAINING)
    wide = torch.randn(len(fed.images.labels), 50_000)
    image = replace(fed.images, mirrored=wide, views=())
    fed.images = replace(image, views=(image,) * 3)
    gained = chunks._bytes_of_a_step(fed, epochs) - chunks._bytes_of_a_step(fed, TRAINING)
    assert gained > 12 * 50_000 * 4  # twelve images of the largest client, at least one view more

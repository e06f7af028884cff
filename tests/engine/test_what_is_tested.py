"""What an evaluation asks: of which round, of which model, with which prompt, among which names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from plain_clients import SIZES, TRAINING, made
from random_clients import method
from small_federation import Make, federation, images, task
from torch import Tensor

from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import evaluate
from fplbench.engine.fit import fit, run_round
from fplbench.engine.membership import log_odds
from fplbench.engine.train import SGD, draw_steps
from fplbench.errors import Diverged
from fplbench.method import Batch, Param, Round, Task, Tensors
from fplbench.plugins import registry
from fplbench.scenario import Exam, Question

__all__ = ["federation", "task"]  # fixtures

PromptFL: Any = registry.methods().get("promptfl")
EVERYBODY = TRAINING.model_copy(update={"participation": 1.0})


def small(kind: Any) -> Any:
    return kind(kind.Config(n_ctx=4))


def test_a_test_is_of_the_round_that_has_just_ended(federation: Make) -> None:
    seen = []

    class Noted(PromptFL):  # type: ignore[misc]
        def for_test(self, server: Tensors, r: Round) -> Tensors:
            seen.append(r.index)
            found: Tensors = super().for_test(server, r)
            return found

    every = TRAINING.model_copy(update={"evaluations": 3})
    fit(federation(small(Noted)), every, images(12, seed=2), Chunk(3), lambda *_: None)
    assert [index for index in seen if index] == [1, 2, 3]


def test_what_is_tested_is_what_for_test_gives(federation: Make) -> None:
    class Other(PromptFL):  # type: ignore[misc]
        def for_test(self, server: Tensors, r: Round) -> Tensors:
            return {n: (t + 1)[None].expand(len(r.clients), *t.shape) for n, t in server.items()}

    fed = federation(small(Other))
    r = fed.round_of(torch.arange(3), 1)
    apart = fed.models(r, None, tested=True).params["ctx"] - fed.models(r, None).params["ctx"]
    torch.testing.assert_close(apart, torch.ones_like(apart))
    alone = fed.shared_model()
    assert alone is not None
    torch.testing.assert_close(alone.params["ctx"][0], fed.server["ctx"] + 1)


def test_answers_about_other_classes_know_the_names_of_training(federation: Make) -> None:
    seen = []

    class Noted(PromptFL):  # type: ignore[misc]
        def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
            if not batch.training:
                seen.append(batch.trained_on)
            found: Tensor = super().logits(params, text, batch, task)
            return found

    fed, test = federation(small(Noted)), images(12, seed=2)
    rows = np.tile(np.flatnonzero(test.labels >= 2), (3, 1))
    exam = Exam(np.array([2, 3]), rows, {"novel": Question(rows >= 0)})
    fed.scenario = replace(fed.scenario, exams=(exam,), shared_exams=())
    evaluate(fed, test, 1, Chunk(3))
    assert set(seen) == {fed.task.classnames}


def test_membership_is_asked_of_the_model_that_is_tested(federation: Make) -> None:
    seen = []

    class Asked(PromptFL):  # type: ignore[misc]
        def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
            if not torch.is_grad_enabled():
                seen.append((batch.training, batch.labels is None))
            found: Tensor = super().logits(params, text, batch, task)
            return found

    way: Any = registry.strategies().get("finetune")
    tuned = federation(way(way.Config(epochs=2), small(Asked)), SIZES)
    found = log_odds(tuned, tuned.scenario, TRAINING, Chunk(3))
    assert set(seen) == {(False, True)}
    plain = federation(made("fedavg"), SIZES)
    plain.server = tuned.server
    assert not np.allclose(found, log_odds(plain, plain.scenario, TRAINING, Chunk(3)))


def test_views_go_on_over_rounds(federation: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    fed, asked = federation(method("promptfl")), []
    real = fed.local_data

    def noted(clients: Any, epochs: Any = ()) -> Any:
        asked.append([*epochs])
        return real(clients, epochs)

    monkeypatch.setattr(fed, "local_data", noted)
    for index in (1, 2):
        run_round(fed, EVERYBODY, index, Chunk(3))
    assert asked == [[0, 1], [2, 3]]


def test_a_prompt_that_is_not_finite_has_diverged(federation: Make) -> None:
    class Bad(PromptFL):  # type: ignore[misc]
        def after_step(self, params: Tensors, grads: Tensors, batch: Batch) -> Tensors:
            if batch.step != 1 or batch.clients is None:
                return {}
            return {
                "ctx": params["ctx"]
                * torch.where(batch.clients == 1, torch.inf, 1.0)[:, None, None]
            }

    once = EVERYBODY.model_copy(update={"local_epochs": 1, "batch_size": 5})
    with pytest.raises(Diverged, match="prompt"):
        run_round(federation(small(Bad), (9, 8, 12)), once, 1, Chunk(3))


def test_a_reported_loss_is_the_clients_mean_by_their_images(federation: Make) -> None:
    """Of each client the mean over its steps, whose number differs from client to client."""
    fed = federation(method("promptfl"))
    still = EVERYBODY.model_copy(update={"lr": 1e-12, "momentum": 0.0})
    log = run_round(fed, still, 1, Chunk(3))
    order = sorted(enumerate(fed.sizes.tolist()), key=lambda each: -each[1])
    clients, sizes = [client for client, _ in order], [size for _, size in order]
    steps = draw_steps(sizes, clients, 4, 2, 0, 1)
    total = 0.0
    for column, (client, size) in enumerate(order):
        one = fed.local_data([client]).everything()
        assert one.labels is not None
        losses = []
        for step in range(2 * -(-size // 4)):
            rows = steps.index[step, column][steps.mask[step, column]]
            batch = Batch(
                mask=torch.ones(1, len(rows), dtype=torch.bool),
                pooled=one.pooled[:, rows],
                labels=one.labels[:, rows],
            )
            terms = fed.method.losses({"ctx": fed.server["ctx"][None]}, batch, fed.task)
            losses.append(float(terms["ce"]))
        total += size / sum(sizes) * float(np.mean(losses))
    assert log.losses["ce"] == pytest.approx(total, rel=1e-4)


def test_a_tensor_may_be_spared_the_weight_decay() -> None:
    specs = {"a": Param(torch.ones(2)), "b": Param(torch.ones(2), decay_scale=0.0)}
    params = {name: torch.ones(1, 2) for name in specs}
    SGD.of(specs, 0.1, 0.0, 0.5).step(params, {name: torch.zeros(1, 2) for name in specs})
    assert params["a"][0, 0].item() == pytest.approx(0.95)
    assert params["b"][0, 0].item() == 1.0

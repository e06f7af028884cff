"""Local steps: batches, gradients, the optimizer's rule."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_federation import images

from fplbench.clip.task import PromptTask
from fplbench.engine.train import SGD, draw_steps, number_of_steps, step_gradients
from fplbench.method import Batch, Method, Param, Tensors, cross_entropy

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=5).map(lambda s: sorted(s, reverse=True))


@given(sizes=SIZES, batch_size=st.integers(1, 16), epochs=st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_every_epoch_sees_every_image_of_every_client_once(
    sizes: list[int], batch_size: int, epochs: int
) -> None:
    steps = draw_steps(sizes, list(range(len(sizes))), batch_size, epochs, 0, 1)
    for column, size in enumerate(sizes):
        per_epoch = number_of_steps(size, batch_size, 1)
        for epoch in range(epochs):
            rows = slice(epoch * per_epoch, (epoch + 1) * per_epoch)
            seen = steps.index[rows, column][steps.mask[rows, column]]
            assert sorted(seen.tolist()) == list(range(size))
            assert (steps.epoch[rows, column] == epoch).all()
        assert not steps.mask[epochs * per_epoch :, column].any()


@given(sizes=SIZES)
@settings(max_examples=20, deadline=None)
def test_a_clients_batches_do_not_depend_on_who_else_takes_part(sizes: list[int]) -> None:
    clients = list(range(10, 10 + len(sizes)))
    together = draw_steps(sizes, clients, 8, 2, 3, 7)
    for column, (size, client) in enumerate(zip(sizes, clients, strict=True)):
        alone = draw_steps([size], [client], 8, 2, 3, 7)
        count = len(alone.index)
        assert torch.equal(together.index[:count, column], alone.index[:, 0])
        assert torch.equal(together.mask[:count, column], alone.mask[:, 0])


def test_steps_name_the_active_clients_and_the_largest_batch() -> None:
    steps = draw_steps([20, 9, 3], [0, 1, 2], 8, 1, 0, 1)
    assert steps.active == (3, 2, 1)
    assert steps.width == (8, 8, 4)


def test_order_of_images_changes_with_round_epoch_and_seed() -> None:
    first = draw_steps([30], [0], 30, 2, 0, 1).index
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, draw_steps([30], [0], 30, 2, 0, 2).index)
    assert not torch.equal(first, draw_steps([30], [0], 30, 2, 1, 1).index)


def test_clients_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="falling"):
        draw_steps([3, 20], [0, 1], 8, 1, 0, 1)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("rates", [(0.05, 0.05, 0.05), (0.05, 0.2, 0.0)])
def test_sgd_is_torchs_rule_for_each_client(
    momentum: float, rates: tuple[float, float, float]
) -> None:
    start = torch.randn(3, 4, 5)
    grads = [torch.randn(3, 4, 5) for _ in range(4)]
    ours = {"p": start.clone()}
    alike = len(set(rates)) == 1
    optimizer = SGD(rates[0] if alike else torch.tensor(rates), momentum, 5e-4)
    for grad in grads:
        optimizer.step(ours, {"p": grad})
    for client in range(3):
        p = start[client].clone().requires_grad_()
        theirs = torch.optim.SGD([p], lr=rates[client], momentum=momentum, weight_decay=5e-4)
        for grad in grads:
            p.grad = grad[client].clone()
            theirs.step()
        torch.testing.assert_close(ours["p"][client], p.detach())


def test_clients_without_a_step_are_not_moved_not_even_by_momentum() -> None:
    params = {"p": torch.randn(3, 4)}
    optimizer = SGD(0.1, 0.9, 0.01)
    optimizer.step(params, {"p": torch.randn(3, 4)})
    before = params["p"].clone()
    optimizer.step(params, {"p": torch.randn(1, 4)})
    assert not torch.equal(params["p"][0], before[0])
    assert torch.equal(params["p"][1:], before[1:])


def test_each_tensor_has_its_own_learning_rate() -> None:
    params = {"a": torch.zeros(1, 2), "b": torch.zeros(1, 2)}
    SGD(0.1, 0.0, 0.0, {"b": 10.0}).step(params, {"a": torch.ones(1, 2), "b": torch.ones(1, 2)})
    torch.testing.assert_close(params["b"], 10 * params["a"])


class Linear(Method):
    """Two terms whose gradients are known: w times the features, and the square of w."""

    name = "linear"
    title = "Linear"
    source = "this test"

    def init(self, task: object, generator: torch.Generator) -> dict[str, Param]:
        return {"w": Param(torch.ones(4))}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: object) -> torch.Tensor:
        return batch.pooled[..., :4] * params["w"][:, None]

    def losses(self, params: Tensors, batch: Batch, task: object) -> Tensors:
        ce = cross_entropy(self.logits(params, {}, batch, task), batch)
        return {"ce": ce, "square": (params["w"] ** 2).sum(1)}


class Projected(Linear):
    """Keeps the square's gradient only."""

    def gradients(self, by_term: dict[str, Tensors], params: Tensors, batch: Batch) -> Tensors:
        assert set(by_term) == {"ce", "square"}
        return by_term["square"]


def batch_of(labels: torch.Tensor) -> Batch:
    pooled = images(labels.numel(), seed=3).pooled
    assert pooled is not None
    mask = torch.ones(labels.shape, dtype=torch.bool)
    return Batch(mask=mask, pooled=pooled.view(*labels.shape, -1), labels=labels)


def test_a_method_may_change_the_gradient_of_each_term(task: PromptTask) -> None:
    batch = batch_of(torch.randint(4, (2, 6)))
    params = {"w": torch.randn(2, 4)}
    terms, summed = step_gradients(Linear(Linear.Config()), params, ["w"], batch, task)
    _, projected = step_gradients(Projected(Linear.Config()), params, ["w"], batch, task)
    assert set(terms) == {"ce", "square"}
    torch.testing.assert_close(projected["w"], 2 * params["w"])
    assert not torch.allclose(summed["w"], projected["w"])


def test_cross_entropy_is_the_mean_over_own_images_and_own_classes() -> None:
    logits = torch.randn(2, 3, 4)
    labels = torch.tensor([[0, 1, 0], [2, 3, 0]])
    mask = torch.tensor([[True, True, False], [True, True, False]])
    classes = torch.tensor([[True, True, False, False], [False, False, True, True]])
    pooled = torch.zeros(*mask.shape, 1)
    loss = cross_entropy(logits, Batch(mask=mask, pooled=pooled, labels=labels, class_mask=classes))
    first = torch.nn.functional.cross_entropy(logits[0, :2, :2], labels[0, :2])
    second = torch.nn.functional.cross_entropy(logits[1, :2, 2:], labels[1, :2] - 2)
    torch.testing.assert_close(loss, torch.stack([first, second]))

"""Local training: the steps of many clients at once.

The sum over clients of their losses has, for each client, exactly its own gradient, because
nothing a method computes for one client depends on another's row. So one backward pass serves
all clients of a chunk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from fplbench import rng
from fplbench.engine.federation import Federation, Models
from fplbench.engine.local_data import Draws, LocalData
from fplbench.errors import Diverged
from fplbench.method import Batch, Method, Param, Round, Task, Tensors, masked_mean
from fplbench.spec import Training


@dataclass(frozen=True)
class Steps:
    """The batches of a round for C clients, whose order is by falling number of steps.

    index: [T, C, B], positions among each client's own images; mask: [T, C, B].
    epoch: [T, C], the epoch a client is in, from 0.
    active: [T], how many clients (the first ones) still have a step t.
    width: [T], the largest batch of step t.
    expected: [C], how many images a batch has on average, where each has a coin of its own.
    """

    index: Tensor
    mask: Tensor
    epoch: Tensor
    active: tuple[int, ...]
    width: tuple[int, ...]
    expected: Tensor | None = None

    def to(self, device: torch.device) -> Steps:
        """The same steps with their tensors on the device."""
        names = ("index", "mask", "epoch", "expected")
        on = {name: t.to(device) for name in names if (t := getattr(self, name)) is not None}
        return replace(self, **on)

    def first(self, count: int) -> Steps:
        """The first steps of the round alone."""
        names = ("index", "mask", "epoch", "active", "width")
        return replace(self, **{name: getattr(self, name)[:count] for name in names})


def number_of_steps(size: int, batch_size: int, epochs: int) -> int:
    """Local steps of a client with `size` images; the last, smaller batch of an epoch counts."""
    return epochs * -(-size // batch_size)


def draw_steps(
    sizes: Sequence[int],
    clients: Sequence[int],
    batch_size: int,
    epochs: int,
    seed: int,
    round_index: int,
) -> Steps:
    """Shuffle each client's images anew for each epoch and cut them into batches.

    Numbers of steps must fall, so that the clients with a step t are always the first ones. The
    order of a client's images depends on (seed, client, round) and on nothing else.
    """
    counts = [number_of_steps(size, batch_size, epochs) for size in sizes]
    if sorted(counts, reverse=True) != counts:
        raise ValueError("clients must come by falling number of steps")
    index = np.zeros((max(counts), len(sizes), batch_size), dtype=np.int64)
    mask = np.zeros(index.shape, dtype=bool)
    # A client without a step t keeps its last epoch; nothing of it is read.
    per_epoch = np.maximum(np.asarray(counts) // epochs, 1)
    epoch_of = np.minimum(np.arange(max(counts))[:, None] // per_epoch, epochs - 1)
    for column, (size, client) in enumerate(zip(sizes, clients, strict=True)):
        order = rng.numpy_generator(seed, "batches", client, round_index)
        own = counts[column] // epochs
        for epoch in range(epochs):
            rows = slice(epoch * own, (epoch + 1) * own)
            padded = np.full(own * batch_size, -1, dtype=np.int64)
            padded[:size] = order.permutation(size)
            batches = padded.reshape(own, batch_size)
            index[rows, column] = np.maximum(batches, 0)
            mask[rows, column] = batches >= 0
    return Steps(
        index=torch.from_numpy(index),
        mask=torch.from_numpy(mask),
        epoch=torch.from_numpy(epoch_of),
        active=tuple(int(sum(count > t for count in counts)) for t in range(len(index))),
        width=tuple(int(step.sum(1).max()) for step in mask),
    )


def draw_each(
    sizes: Sequence[int],
    clients: Sequence[int],
    batch_size: int,
    epochs: int,
    seed: int,
    round_index: int,
) -> Steps:
    """As many steps as `draw_steps` has, each of whose batches holds each image of a client with
    probability min(1, batch_size / size), one by one (Poisson sampling): some are larger than
    batch_size, some are empty."""
    counts = [number_of_steps(size, batch_size, epochs) for size in sizes]
    if sorted(counts, reverse=True) != counts:
        raise ValueError("clients must come by falling number of steps")
    drawn = []
    for size, client, count in zip(sizes, clients, counts, strict=True):
        coins = rng.numpy_generator(seed, "coins", client, round_index).random((count, size))
        drawn.append([np.flatnonzero(toss < batch_size / size) for toss in coins])
    widths = [max(1, *(len(own[t]) for own in drawn if t < len(own))) for t in range(max(counts))]
    index = np.zeros((max(counts), len(sizes), max(widths)), dtype=np.int64)
    mask = np.zeros(index.shape, dtype=bool)
    for column, own in enumerate(drawn):
        for t, images in enumerate(own):
            index[t, column, : len(images)] = images
            mask[t, column, : len(images)] = True
    per_epoch = np.maximum(np.asarray(counts) // epochs, 1)
    epoch_of = np.minimum(np.arange(max(counts))[:, None] // per_epoch, epochs - 1)
    return Steps(
        index=torch.from_numpy(index),
        mask=torch.from_numpy(mask),
        epoch=torch.from_numpy(epoch_of),
        active=tuple(int(sum(count > t for count in counts)) for t in range(len(index))),
        width=tuple(widths),
        expected=torch.tensor([float(min(size, batch_size)) for size in sizes]),
    )


def step_gradients(
    method: Method, params: Tensors, trained: Sequence[str], batch: Batch, task: Task
) -> tuple[Tensors, Tensors]:
    """The loss terms, each [C], and the gradient of each trained tensor, [C, ...]: what a step
    computes before anything moves."""
    if method.by_image:
        return image_gradients(method, params, trained, batch, task)
    return _gradients(method, params, trained, batch, task)


def image_gradients(
    method: Method, params: Tensors, trained: Sequence[str], batch: Batch, task: Task
) -> tuple[Tensors, Tensors]:
    """`step_gradients` with a gradient of each image: every image of the C clients becomes a
    client of its own with this one image, C x B rows that know nothing of one another."""
    shape = batch.mask.shape
    rows = {name: t.repeat_interleave(shape[1], 0) for name, t in params.items()}
    terms, grads = _gradients(method, rows, trained, by_rows(batch), task)
    each: Tensors = {}
    for name, grad in grads.items():
        apart = grad.view(*shape, *grad.shape[1:])
        # Where there is no image a term that reads none has a gradient all the same.
        there = batch.mask.view(*shape, *[1] * (apart.dim() - 2))
        each[name] = torch.where(there, apart, torch.zeros_like(apart))
    with torch.no_grad():
        joined = method.of_images(each, batch)
    return {name: masked_mean(t.view(shape), batch.mask) for name, t in terms.items()}, joined


def by_rows(batch: Batch) -> Batch:
    """C clients with B images each as C x B clients with one."""
    images = batch.mask.shape[1]
    kinds = ("mask", "pooled", "patches", "embedded", "norms", "mirrored", "labels")
    alone = {
        kind: t.flatten(0, 1)[:, None] for kind in kinds if (t := getattr(batch, kind)) is not None
    }
    clients = ("class_mask", "clients", "expected")
    again = {
        kind: t.repeat_interleave(images, 0)
        for kind in clients
        if (t := getattr(batch, kind)) is not None
    }
    fixed = {name: t.repeat_interleave(images, 0) for name, t in batch.fixed.items()}
    return replace(batch, fixed=fixed, **alone, **again)


def _gradients(
    method: Method, params: Tensors, trained: Sequence[str], batch: Batch, task: Task
) -> tuple[Tensors, Tensors]:
    leaves = leaves_of(params, trained)
    with torch.enable_grad():
        terms = method.losses(params | leaves, batch, task)
        grads = gradients_of(method, terms, leaves, params, batch)
    return {name: term.detach() for name, term in terms.items()}, grads


def leaves_of(params: Tensors, trained: Sequence[str]) -> Tensors:
    """The trained tensors, as the leaves that a gradient is taken of."""
    return {name: params[name].detach().requires_grad_() for name in trained}


def gradients_of(
    method: Method, terms: Tensors, leaves: Tensors, params: Tensors, batch: Batch
) -> Tensors:
    """The gradient to step along, for each leaf, [C, ...]. A tensor that no term uses has a
    gradient of zero."""
    if not method.apart:
        return _differentiate(torch.stack([t.sum() for t in terms.values()]).sum(), leaves)
    by_term = {name: _differentiate(term.sum(), leaves, keep=True) for name, term in terms.items()}
    with torch.no_grad():
        return method.gradients(by_term, params, batch)


def _differentiate(total: Tensor, leaves: Tensors, keep: bool = False) -> Tensors:
    if not total.requires_grad:
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    found = torch.autograd.grad(
        total, list(leaves.values()), retain_graph=keep, materialize_grads=True
    )
    return dict(zip(leaves, found, strict=True))


class SGD:
    """torch.optim.SGD's rule over stacked clients: each row has a momentum of its own.

    v <- momentum * v + (g + weight_decay * decay_scale * p);  p <- p - lr * lr_scale * v, in place.
    lr: one for all clients, or [C] on the device, one for each.
    """

    def __init__(
        self,
        lr: float | Tensor,
        momentum: float,
        weight_decay: float,
        lr_scales: Mapping[str, float] | None = None,
        decay_scales: Mapping[str, float] | None = None,
    ) -> None:
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.lr_scales = dict(lr_scales or {})
        self.decay_scales = dict(decay_scales or {})
        self._velocity: Tensors = {}

    @classmethod
    def of(cls, specs: Mapping[str, Param], lr: float, momentum: float, weight_decay: float) -> SGD:
        """With the scales that the tensors have of their own."""
        rates = {name: spec.lr_scale for name, spec in specs.items()}
        decays = {name: spec.decay_scale for name, spec in specs.items()}
        return cls(lr, momentum, weight_decay, rates, decays)

    @torch.no_grad()
    def step(self, params: Tensors, grads: Tensors) -> None:
        """Move the first k clients of each tensor in params, [C, ...], along grads, [k, ...]."""
        for name, grad in grads.items():
            if name not in self._velocity:
                self._velocity[name] = torch.zeros_like(params[name])
            moved = params[name][: len(grad)]
            velocity = self._velocity[name][: len(grad)]
            decay = self.weight_decay * self.decay_scales.get(name, 1.0)
            velocity.mul_(self.momentum).add_(grad).add_(moved, alpha=decay)
            scale = self.lr_scales.get(name, 1.0)
            if isinstance(self.lr, Tensor):
                each = (self.lr[: len(grad)] * scale).view(-1, *[1] * (grad.dim() - 1))
                moved.sub_(velocity * each)
            else:
                moved.sub_(velocity, alpha=self.lr * scale)


def train_locally(
    federation: Federation, training: Training, r: Round, epochs: int
) -> tuple[Models, Tensors]:
    """The models of r's clients after so many local epochs, and their loss terms, each [C].

    r.clients must come by falling number of steps.
    """
    ids = r.clients.tolist()
    first = (r.index - 1) * training.local_epochs  # rounds are counted from 1
    data = federation.local_data(ids, range(first, first + epochs))
    models = federation.models(r, data)
    draw = draw_each if federation.method.by_image else draw_steps
    steps = draw(r.sizes.tolist(), ids, training.batch_size, epochs, federation.seed, r.index).to(
        federation.device
    )
    optimizer = SGD.of(
        federation.specs, training.lr_of(r.index), training.momentum, training.weight_decay
    )
    terms = train_clients(
        federation.method,
        models.params,
        federation.trained,
        data,
        steps,
        models.fixed,
        federation.task,
        optimizer,
        Draws(r.clients, federation.generator_of(r.index)),
    )
    refuse_infinite(models.params, terms, r)
    return models, terms


def refuse_infinite(params: Tensors, terms: Tensors, r: Round) -> None:
    """Raise Diverged, naming the first client whose loss or tensors are not finite."""
    for what, tensors in (("the loss", terms), ("the prompt", params)):
        for name, t in tensors.items():
            finite = t.flatten(1).isfinite().all(1) if t.dim() > 1 else t.isfinite()
            if not bool(finite.all()):
                worst = int(r.clients[int((~finite).int().argmax())])
                raise Diverged(r.index, worst, f"{what} ({name})")


def train_clients(
    method: Method,
    params: Tensors,
    trained: Sequence[str],
    data: LocalData,
    steps: Steps,
    fixed: Tensors,
    task: Task,
    optimizer: SGD,
    draws: Draws | None = None,
) -> Tensors:
    """Run all steps of a round; params, each [C, ...], are moved in place.

    Returns the terms of the loss, each [C], averaged over a client's steps. Nothing here waits
    for the device.
    """
    sums: Tensors = {}
    for t, (k, width) in enumerate(zip(steps.active, steps.width, strict=True)):
        index, mask = steps.index[t, :k, :width], steps.mask[t, :k, :width]
        batch = data.batch(index, mask, steps.epoch[t, :k], fixed, t, draws, steps.expected)
        current = {name: value[:k] for name, value in params.items()}
        if method.by_image:
            terms, grads = image_gradients(method, current, trained, batch, task)
        else:
            leaves = leaves_of(current, trained)
            with torch.enable_grad():
                terms = method.losses(current | leaves, batch, task)
                grads = gradients_of(method, terms, leaves, current, batch)
        optimizer.step(params, grads)
        with torch.no_grad():
            for name, value in method.after_step(current, grads, batch).items():
                params[name][:k] = value
        for name, term in terms.items():
            total = sums.setdefault(name, torch.zeros(len(data.mask), device=term.device))
            total[:k] += term.detach()
    taken = steps.mask.any(2).sum(0).clamp(min=1).to(data.mask.device)
    return {name: total / taken for name, total in sums.items()}


def by_falling_steps(federation: Federation, clients: Tensor, training: Training) -> Tensor:
    """Clients with more steps first, so that those who are done leave the batch from its end."""
    steps = torch.tensor(
        [
            number_of_steps(size, training.batch_size, training.local_epochs)
            for size in federation.sizes[clients].tolist()
        ]
    )
    return clients[torch.argsort(steps, descending=True, stable=True)]

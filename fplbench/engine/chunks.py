"""How many clients are computed together, how many of their test images, and what happens when
they are too many.

The numbers follow from the cell alone: from what one client's step or one image takes and a fixed
budget, never from the memory that happens to be free. Where even that is too much for a machine,
chunks are halved; results then agree to rounding, and the record says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType

import torch
from torch import Tensor

from fplbench.engine.federation import Federation
from fplbench.engine.local_data import Draws
from fplbench.engine.memory import peak_bytes
from fplbench.engine.train import draw_each, draw_steps, step_gradients
from fplbench.spec import Training

BUDGET = {"cpu": 2 * 2**30, "cuda": 16 * 2**30}
"""Bytes that a chunk of clients may take in a local step, or in an exam, by the kind of device."""
ELEMENTS = {"cpu": 2**19, "cuda": 2**25}
"""Of a tensor [clients, images, classes, patches] in an exam: on a processor as many as stay in its
cache, on a GPU enough to fill it."""


@dataclass
class Chunk:
    """clients: how many are computed together. planned: how many before a shortage of memory.
    step_bytes: what a local step of one client takes, counted from its tensors; 0 where nothing
    is trained."""

    clients: int
    planned: int = 0
    step_bytes: int = 0

    def __post_init__(self) -> None:
        self.planned = self.planned or self.clients


def plan_chunk(federation: Federation, training: Training) -> Chunk:
    """As many clients as BUDGET holds, by a step of the client with the most images."""
    count = federation.clients
    if not federation.trained:
        return Chunk(count)
    one = _bytes_of_a_step(federation, training)
    return Chunk(max(1, min(count, BUDGET[federation.device.type] // one)), step_bytes=one)


def _bytes_of_a_step(federation: Federation, training: Training) -> int:
    """Peak memory of one client's largest step, with its data."""
    client = int(federation.sizes.argmax())
    size = int(federation.sizes[client])
    r = federation.round_of(torch.tensor([client]), 1)
    # Each epoch may have a view of the images of its own, and a visit has all of them at hand.
    new = training.new_client_epochs if training.new_clients else 0
    epochs = max(training.local_epochs, federation.method.test_epochs, new)

    def step() -> object:
        data = federation.local_data([client], range(epochs))
        models = federation.models(r, data)
        draw = draw_each if federation.method.by_image else draw_steps
        steps = draw([size], [client], training.batch_size, 1, federation.seed, 1)
        steps = steps.to(federation.device)
        t = steps.width.index(max(steps.width))
        draws = Draws(r.clients, federation.generator_of(1))
        images = (steps.index[t], steps.mask[t], steps.epoch[t])
        batch = data.batch(*images, models.fixed, 0, draws, steps.expected)
        return step_gradients(
            federation.method, models.params, federation.trained, batch, federation.task
        )

    step()  # what is made once and kept (masks, packed class names) belongs to no step
    return max(1, peak_bytes(step))


def images_at_once(
    answer: Callable[[], object], elements: int, device: torch.device, chunk: Chunk
) -> int:
    """How many images of each client are put to it in one go.

    answer: answers one image of each. elements: of a tensor [clients, classes, patches]. Images
    that go through a tower, or have prompts of their own, take more than that tells. In a chunk
    that was halved there are as many fewer, or the same would be too much again.
    """
    answer()  # what is made once and kept belongs to no image
    one = max(1, peak_bytes(answer))
    most = min(ELEMENTS[device.type] // elements, BUDGET[device.type] // one)
    return max(1, most * chunk.clients // chunk.planned)


@dataclass
class Attempt:
    """Clients to be computed together, inside `with`: there a shortage of memory raises nothing,
    but leaves the attempt `short`."""

    clients: Tensor
    short: bool = False

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> bool:
        self.short = error is not None and out_of_memory(error) and len(self.clients) > 1
        return self.short


def in_chunks(clients: Tensor, chunk: Chunk) -> Iterator[Attempt]:
    """The clients, a chunk at a time; those of a short attempt again, in smaller chunks."""
    first = 0
    while first < len(clients):
        attempt = Attempt(clients[first : first + chunk.clients])
        yield attempt
        if not attempt.short:
            first += len(attempt.clients)
            continue
        chunk.clients = len(attempt.clients) // 2
        # By now the failed step's tensors are gone with its traceback.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host had no memory left."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)

"""The engine on a device: on a GPU where there is one, and on one that is only imagined."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from small_clip import far
from torch import Tensor

from fplbench.contract.imagined import imagined
from fplbench.contract.room import CLASSES, OTHERS, Candidate, exam_images, task_on
from fplbench.contract.room import federation as small_federation
from fplbench.engine import train
from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import evaluate
from fplbench.engine.federation import Federation
from fplbench.engine.fit import run_round
from fplbench.machine.process import matrix_products
from fplbench.method import Batch
from fplbench.plugins import registry
from fplbench.spec import Training

FOUND = registry.methods().classes
TRAINED = [name for name in FOUND if name not in ("zeroshot", "tipadapter")]
TRAINING = Training(rounds=2, local_epochs=2, batch_size=4, lr=0.05)

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
# On the host the same test tries that it fits every method.
DEVICES = [
    pytest.param("cpu", "fp32"),
    *(
        pytest.param("cuda:0", precision, marks=[pytest.mark.gpu, needs_gpu])
        for precision in ("fp32", "tf32")
    ),
]


def on(name: str, device: str) -> Federation:
    """A small federation of a method, its clients computed on a device."""
    host = small_federation(Candidate(FOUND[name]).make())
    if device == "cpu":
        return host
    there = torch.device(device)
    whole = task_on(there, CLASSES + OTHERS)
    return Federation(host.method, whole.subset, host.scenario, host.images, host.seed, there)


def test_a_round_on_another_device_is_the_hosts() -> None:
    """The engine's part; what each method does there is in its exam (fplbench/contract)."""
    fedpgp = FOUND["fedpgp"]
    host = small_federation(fedpgp(fedpgp.Config()))
    run_round(host, TRAINING, 1, Chunk(4))
    with imagined() as device:
        task = task_on(device)
        there = Federation(
            host.method, lambda _: task, host.scenario, host.images, host.seed, device
        )
        log = run_round(there, TRAINING, 1, Chunk(2))
    assert log.up_bytes == 4 * there.server["sigma"].numel() * 4
    for key, value in (host.server | host.private).items():
        assert far((there.server | there.private)[key], value) < 1e-3, key


def test_an_imagined_device_would_show_a_tensor_left_behind() -> None:
    with imagined() as device:
        there = torch.tensor([1.0, 2.0], device=device)
        for moved in (there + 1, there * torch.tensor(2.0), there[torch.tensor([0])], -there):
            assert moved.device == device
        assert (there + there).tolist() == [2, 4]
        assert torch.equal(there.to("cpu"), torch.tensor([1.0, 2.0]))
        there.add_(1)
        assert there.sum().item() == 5
        with pytest.raises(RuntimeError, match="aten::add is given a tensor on the host"):
            there + torch.zeros(2)


@contextmanager
def no_waiting() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


# Whose steps ask the device for a number on the way: whether transport has settled, a
# decomposition's convergence.
WAITING = ("fedotp", "plot", "plotpp", "fedpha", "fedpha_he")


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("name", [name for name in TRAINED if name not in WAITING])
def test_no_step_waits_for_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fed, steps = on(name, "cuda:0"), train.train_clients
    run_round(fed, TRAINING, 1, Chunk(4))  # what is constant is found on the way

    def unwaiting(*arguments: object) -> dict[str, Tensor]:
        torch.cuda.synchronize()
        with no_waiting():
            return steps(*arguments)  # type: ignore[arg-type]

    def drawn(*asked: object, **how: object) -> Tensor:
        pytest.skip("draws on the host, which a step then waits for")

    monkeypatch.setattr(train, "train_clients", unwaiting)
    monkeypatch.setattr(Batch, "draw", drawn)
    run_round(fed, TRAINING, 2, Chunk(4))


@pytest.mark.parametrize(("device", "precision"), DEVICES)
@pytest.mark.parametrize("name", TRAINED)
def test_a_device_gives_what_the_host_gives(name: str, device: str, precision: str) -> None:
    host, there = on(name, "cpu"), on(name, device)
    for index in (1, 2):
        run_round(host, TRAINING, index, Chunk(4))
        with matrix_products(precision):
            run_round(there, TRAINING, index, Chunk(2))
    close = 1e-3 if precision == "fp32" else 5e-2
    found = there.server | there.private
    for key, value in (host.server | host.private).items():
        if not value.is_floating_point() or not value.any():
            assert torch.equal(found[key], value), key
        else:
            assert far(found[key], value) < close, key
    evaluate(there, exam_images(there.method), 2, Chunk(4))

"""The engine on a device: on a GPU where there is one, and on one that is only imagined."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from small_clip import LetterTokenizer, far, small_clip
from small_federation import Make, images

from fplbench.clip.task import PromptTask
from fplbench.clip.text import TextTower
from fplbench.contract.imagined import imagined
from fplbench.contract.room import federation as small_federation
from fplbench.contract.room import task_on
from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import evaluate
from fplbench.engine.federation import Federation
from fplbench.engine.fit import run_round
from fplbench.engine.local_data import LocalData
from fplbench.engine.train import SGD, draw_steps, train_clients
from fplbench.machine.process import matrix_products
from fplbench.method import Method
from fplbench.plugins import registry
from fplbench.spec import Training

FOUND = registry.methods().classes
TRAINED = [name for name in FOUND if name not in ("zeroshot", "tipadapter")]
TRAINING = Training(rounds=2, local_epochs=2, batch_size=4, lr=0.05)
CLASSES = ("cat", "catfish", "polar bear", "fox")

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")


def method(name: str) -> Method:
    return FOUND[name](FOUND[name].Config(n_ctx=3))


def random_task(device: torch.device) -> PromptTask:
    tower = TextTower(small_clip(layers=3, embed_dim=16).to(device), LetterTokenizer())
    return PromptTask(tower, CLASSES, ("a {}.",), torch.tensor(10.0, device=device))


def random_data(device: torch.device, sizes: tuple[int, ...] = (9, 6, 2)) -> LocalData:
    most, clients = max(sizes), len(sizes)
    plain = torch.arange(clients * most, device=device).view(clients, most)
    count = clients * most
    return LocalData(
        plain=plain,
        rows=plain.expand(TRAINING.local_epochs, clients, most),
        labels=(plain % len(CLASSES)),
        mask=torch.arange(most, device=device) < torch.tensor(sizes, device=device)[:, None],
        pooled=F.normalize(torch.randn(count, 16, device=device), dim=-1),
        patches=F.normalize(torch.randn(count, 5, 16, device=device), dim=-1).half(),
        class_mask=None,
    )


def train(chosen: Method, task: PromptTask, device: torch.device) -> dict[str, torch.Tensor]:
    """One round's steps of three clients of different size."""
    sizes = (9, 6, 2)
    specs = chosen.init(task, torch.Generator().manual_seed(0))
    params = {
        name: spec.value.expand(3, *spec.value.shape).clone().to(device)
        for name, spec in specs.items()
    }
    data = random_data(device, sizes)
    steps = draw_steps(sizes, range(3), TRAINING.batch_size, TRAINING.local_epochs, 0, 1)
    fixed = chosen.memory(task, data.everything()) | chosen.prepare(params, params, task)
    optimizer = SGD(0.05, 0.9, 5e-4)
    names = list(params)
    return train_clients(chosen, params, names, data, steps.to(device), fixed, task, optimizer)


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


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("name", [name for name in TRAINED if name != "fedotp"])
def test_no_step_waits_for_the_device(name: str) -> None:
    device = torch.device("cuda:0")
    chosen, task = method(name), random_task(device)
    train(chosen, task, device)  # what is constant is found on the way
    specs = chosen.init(task, torch.Generator().manual_seed(0))
    params = {k: p.value.expand(3, *p.value.shape).clone().to(device) for k, p in specs.items()}
    data = random_data(device)
    steps = draw_steps((9, 6, 2), range(3), 4, 2, 0, 1).to(device)
    fixed = chosen.prepare(params, params, task)
    torch.cuda.synchronize()
    with no_waiting():
        train_clients(chosen, params, list(params), data, steps, fixed, task, SGD(0.05, 0.9, 5e-4))


def on(federation: Federation, device: torch.device) -> Federation:
    """The same federation with its clients computed on a device."""
    task = random_task(device)
    return Federation(
        federation.method,
        task.subset,
        federation.scenario,
        federation.images,
        federation.seed,
        device,
    )


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "tf32"])
@pytest.mark.parametrize("name", TRAINED)
def test_a_gpu_gives_what_the_host_gives(federation: Make, name: str, precision: str) -> None:
    host = on(federation(method(name)), torch.device("cpu"))
    gpu = on(federation(method(name)), torch.device("cuda:0"))
    for index in (1, 2):
        run_round(host, TRAINING, index, Chunk(3))
        with matrix_products(precision):
            run_round(gpu, TRAINING, index, Chunk(2))
    close = 1e-3 if precision == "fp32" else 5e-2
    for key, value in (host.server | host.private).items():
        assert far((gpu.server | gpu.private)[key], value) < close, key
    test = images(12, seed=2)
    evaluate(gpu, test, 2, Chunk(3))

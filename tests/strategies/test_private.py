"""dp-fedavg and dp-sgd against plain loops, and what they refuse."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from command_line import call
from plain_clients import SIZES, TRAINING, Plain, close, made, rounds
from small_federation import Make
from torch import Tensor

from fplbench.clip.task import PromptTask
from fplbench.engine.by_image import is_mean
from fplbench.engine.chunks import Chunk, plan_chunk
from fplbench.engine.federation import Federation
from fplbench.engine.fit import run_round, setup_of
from fplbench.engine.train import draw_each
from fplbench.method import Batch, Task, Tensors
from fplbench.plugins import registry
from fplbench.strategy import Strategy, refusal

METHODS, STRATEGIES = registry.methods().classes, registry.strategies().classes


def ready(federation: Make, strategy: str, **settings: object) -> Federation:
    method = made(strategy, **settings)
    assert isinstance(method, Strategy)
    return federation(method.set_up(setup_of(0, SIZES, TRAINING)), SIZES)


def shortened(change: Tensor, norm: float) -> Tensor:
    return change * min(1.0, norm / float(change.norm()))


@pytest.mark.parametrize(("clip", "noise"), [(0.05, 0.0), (0.05, 0.7), (1e6, 0.0)])
def test_dp_fedavg(federation: Make, clip: float, noise: float) -> None:
    fed = ready(federation, "dp-fedavg", clip=clip, noise=noise)
    plain, ctx = Plain(fed), fed.server["ctx"].clone()
    for index, clients in enumerate(rounds(fed), start=1):
        changes = [shortened(plain.train(ctx, c, index) - ctx, clip) for c in clients]
        g = fed.round_of(torch.tensor(clients), index).generator("noise.ctx", None)
        z = torch.randn(ctx.shape, generator=g, dtype=torch.float64).float()
        ctx = ctx + (torch.stack(changes).sum(0) + noise * clip * z) / len(clients)
    close(fed.server["ctx"], ctx)


def train_privately(
    plain: Plain, ctx: Tensor, client: int, index: int, clip: float, noise: float
) -> Tensor:
    """A client's context after a round of DP-SGD: a loop over its steps and their images."""
    live, velocity = ctx.clone(), torch.zeros_like(ctx)
    size, batch = SIZES[client], TRAINING.batch_size
    steps = draw_each([size], [client], batch, TRAINING.local_epochs, 0, index)
    for t, (order, mask) in enumerate(zip(steps.index[:, 0], steps.mask[:, 0], strict=True)):
        total = torch.zeros_like(live)
        for image in order[mask]:
            leaf = live.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(plain.loss(leaf, client, image[None]), leaf)
            total += shortened(gradient, clip)
        g = plain.fed.generator_of(index)("noise.ctx", client, t)
        total += noise * clip * torch.randn(live.shape, generator=g)
        step = total / min(batch, size) + 5e-4 * live
        velocity = 0.9 * velocity + step
        live = live - TRAINING.lr * velocity
    return live


@pytest.mark.parametrize(("clip", "noise"), [(0.3, 0.0), (0.3, 0.5), (1e6, 0.0)])
def test_dp_sgd(federation: Make, clip: float, noise: float) -> None:
    fed = ready(federation, "dp-sgd", clip=clip, noise=noise)
    plain, ctx = Plain(fed), fed.server["ctx"].clone()
    for index, clients in enumerate(rounds(fed), start=1):
        after = [train_privately(plain, ctx, c, index, clip, noise) for c in clients]
        sizes = torch.tensor([float(SIZES[c]) for c in clients])
        ctx = torch.einsum("c,cnd->nd", sizes / sizes.sum(), torch.stack(after))
    close(fed.server["ctx"], ctx)


def test_each_image_is_in_a_batch_by_a_coin_of_its_own() -> None:
    steps = draw_each([200, 20], [7, 3], 10, 50, 0, 1)
    sizes = steps.mask.sum(2)
    assert steps.active[0] == 2
    assert (len(steps.active), int((sizes[:, 1] > 0).sum())) == (1000, pytest.approx(100, abs=2))
    # Binomial(200, 0.05) a step: mean 10, variance 9.5, over 1,000 steps.
    assert float(sizes[:, 0].double().mean()) == pytest.approx(10, abs=4 * (9.5 / 1000) ** 0.5)
    assert float(sizes[:, 0].double().var()) == pytest.approx(9.5, rel=0.2)
    seen = torch.bincount(steps.index[:, 0][steps.mask[:, 0]], minlength=200)
    assert int(seen.min()) > 15
    alone = draw_each([20], [3], 10, 50, 0, 1)
    width = alone.mask.shape[2]
    assert torch.equal(alone.mask[:, 0], steps.mask[: len(alone.mask), 1, :width])


def test_a_chunk_knows_the_memory_of_gradients_by_image(federation: Make) -> None:
    private, plain = ready(federation, "dp-sgd"), ready(federation, "fedavg")
    by_image, together = (plan_chunk(fed, TRAINING).step_bytes for fed in (private, plain))
    assert by_image > 2.5 * together  # four images a step, and three or more by coins


def test_the_noise_of_a_budget_is_that_of_the_record(federation: Make) -> None:
    for strategy in ("dp-fedavg", "dp-sgd"):
        found = ready(federation, strategy, epsilon=4.0).method
        assert isinstance(found, Strategy)
        facts = found.facts()
        assert 3.9 < float(facts["epsilon"].value) <= 4.0
        named = made(strategy, noise=float(facts["noise"].value) + 1e-6)
        assert isinstance(named, Strategy)
        again = named.set_up(found.setup).facts()  # type: ignore[arg-type]
        assert float(again["epsilon"].value) == pytest.approx(float(facts["epsilon"].value))
    none = made("dp-sgd", noise=0.0)
    assert isinstance(none, Strategy)
    assert none.set_up(setup_of(0, SIZES, TRAINING)).facts()["privacy"].value.startswith("none")  # type: ignore[union-attr]


class Contrast(METHODS["promptfl"]):  # type: ignore[name-defined,misc]
    """A loss that compares the images of a batch with one another."""

    name = "contrast"

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        t = self.encode(params, task)
        logits = self.logits(params, t, batch, task)
        likeness = F.log_softmax(torch.einsum("cik,cjk->cij", logits, logits), dim=-1)
        return {"contrast": -likeness.diagonal(dim1=1, dim2=2).mean(1)}


def test_a_loss_that_is_no_mean_over_images_is_seen(task: PromptTask) -> None:
    found = {}
    for name, kind in METHODS.items():
        learner = kind(kind.Config(**({"n_ctx": 4} if "n_ctx" in kind.Config.model_fields else {})))
        goes = refusal(kind, STRATEGIES["dp-sgd"]) is None and not learner.remembers
        if goes and learner.init(task, torch.Generator()):
            found[name] = is_mean(learner, task)
    assert {"promptfl", "fedpgp", "fedotp", "maple"} <= found.keys()
    # FOCoOp perturbs its features by what the whole batch says.
    assert [name for name, mean in found.items() if not mean] == ["focoop"]
    assert not is_mean(Contrast(Contrast.Config(n_ctx=4)), task)


REFUSED = [
    (["dp-sgd"], ["--methods", "pfedprompt"], "keeps images of its clients beside what is trained"),
    (["dp-sgd"], ["--epsilon", "1", "--set", "dp-sgd.noise=2"], "epsilon and noise are both named"),
    (["dp-sgd"], ["--new-clients", "0.4"], "those steps are not counted: leave new_clients out"),
    (["krum"], ["--malicious", "0.4"], "Krum needs 2 f + 3 clients a round and has 4, f being 2"),
    (["fedavg"], ["--epsilon", "1"], "epsilon is no setting of the scenario personal, nor of"),
]


def test_what_no_accountant_covers_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    for strategies, more, why in REFUSED:
        methods = [] if "--methods" in more else ["--methods", "promptfl"]
        what = ["--datasets", "digits", "--clients", "4", "--strategies", *strategies]
        out = ["--out", str(tmp_path / "out")]
        code, _, err = call(["run", *methods, *what, *more, *out], monkeypatch, capsys)
        assert code == 2, more
        assert why in err, err
    assert not (tmp_path / "out").exists()


def test_clients_computed_one_by_one_draw_the_same_noise(federation: Make) -> None:
    for strategy, chunk in itertools.product(("dp-sgd", "dp-fedavg"), (1, 3)):
        one, other = ready(federation, strategy, noise=1.0), ready(federation, strategy, noise=1.0)
        run_round(one, TRAINING, 1, Chunk(2))
        run_round(other, TRAINING, 1, Chunk(chunk))
        close(other.server["ctx"], one.server["ctx"])

"""Each strategy against its paper's algorithm, written as a plain loop over clients."""

from __future__ import annotations

import pytest
import torch
from plain_clients import SIZES, TRAINING, Plain, close, made, mean, rounds, weights
from small_federation import Make
from torch import Tensor

from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import models_tested
from fplbench.engine.fit import run_round, setup_of
from fplbench.method import Param
from fplbench.strategies.fedamp import FedAMP


def test_fedprox(federation: Make) -> None:
    fed = federation(made("fedprox", mu=0.7), SIZES)
    plain, ctx = Plain(fed), fed.server["ctx"].clone()
    for index, clients in enumerate(rounds(fed), start=1):

        def near(live: Tensor, start: Tensor = ctx) -> Tensor:
            return 0.35 * (live - start).square().sum()

        ctx = mean([plain.train(ctx, c, index, near) for c in clients], weights(clients))
    close(fed.server["ctx"], ctx)


def test_a_method_on_its_own_is_shared_by_fedavg_and_weighted_alike_if_so_wanted(
    federation: Make,
) -> None:
    fed = federation(made("fedavg", "coop", weights="equal"), SIZES)
    plain, ctx = Plain(fed), fed.server["ctx"].clone()
    for index, clients in enumerate(rounds(fed), start=1):
        ctx = mean([plain.train(ctx, c, index) for c in clients], weights(clients, equal=True))
    close(fed.server["ctx"], ctx)


def test_scaffolds_control_is_the_mean_of_those_that_train(federation: Make) -> None:
    """New clients, who never have a c_i, count for nothing in its N."""
    training = TRAINING.model_copy(update={"participation": 1.0, "new_clients": 0.4})
    method = made("scaffold").set_up(setup_of(0, SIZES, training))
    fed = federation(method, SIZES, new=0.4)
    assert 0 < len(fed.newcomers) < len(SIZES)
    run_round(fed, training, 1, Chunk(len(SIZES)))
    own = fed.private["own_control.ctx"][fed.taking_part]
    close(fed.server["control.ctx"], own.mean(0))


@pytest.mark.parametrize("optimizer", ["momentum", "adam", "yogi"])
def test_fedopt(federation: Make, optimizer: str) -> None:
    fed = federation(made("fedopt", optimizer=optimizer, server_lr=0.5, tau=0.1), SIZES)
    plain, ctx = Plain(fed), fed.server["ctx"].clone()
    m, v = torch.zeros_like(ctx), torch.full_like(ctx, 0.1**2)
    for index, clients in enumerate(rounds(fed), start=1):
        change = mean([plain.train(ctx, c, index) for c in clients], weights(clients)) - ctx
        if optimizer == "momentum":
            m = 0.9 * m + change
            ctx = ctx + 0.5 * m
            continue
        m = 0.9 * m + 0.1 * change
        if optimizer == "adam":
            v = 0.99 * v + 0.01 * change**2
        else:
            v = v - 0.01 * change**2 * torch.sign(v - change**2)
        ctx = ctx + 0.5 * m / (v.sqrt() + 0.1)
    close(fed.server["ctx"], ctx)
    received = fed.models(fed.round_of(torch.arange(2), 4), None)
    assert received.received_bytes == 2 * ctx.numel() * 4  # m and v stay on the server


def test_scaffold(federation: Make) -> None:
    fed = federation(made("scaffold"), SIZES)
    plain, ctx = Plain(fed), fed.server["ctx"].clone()
    control, own = torch.zeros_like(ctx), [torch.zeros_like(ctx) for _ in SIZES]
    for index, clients in enumerate(rounds(fed), start=1):
        after, moved = [], torch.zeros_like(ctx)
        for c in clients:
            seen: list[Tensor] = []

            def corrected(
                g: Tensor, seen: list[Tensor] = seen, by: Tensor = control - own[c]
            ) -> Tensor:
                seen.append(g)
                return g + by

            after.append(plain.train(ctx, c, index, change=corrected))
            moved += torch.stack(seen).mean(0) - own[c]
            own[c] = torch.stack(seen).mean(0)
        ctx = mean(after, weights(clients, equal=True))
        control = control + moved / len(SIZES)
    close(fed.server["ctx"], ctx)
    close(fed.server["control.ctx"], control)
    close(fed.private["own_control.ctx"], torch.stack(own))


def test_the_mean_of_gradients_is_scaffolds_option_2_where_a_step_is_plain(
    federation: Make,
) -> None:
    fed = federation(made("scaffold"), SIZES)
    training = TRAINING.model_copy(update={"momentum": 0.0, "weight_decay": 0.0, "rounds": 2})
    for index in (1, 2):
        start = fed.server["ctx"].clone()
        before = {n: t.clone() for n, t in fed.private.items()}
        control = fed.server["control.ctx"].clone()
        sent = {}

        def keep(params, r, fed=fed, sent=sent):  # type: ignore[no-untyped-def]
            sent.update({int(c): params["ctx"][i] for i, c in enumerate(r.clients)})
            return type(fed.method).upload(fed.method, params, r)

        fed.method.upload = keep  # type: ignore[method-assign]
        run_round(fed, training, index, Chunk(2))
        for c, ended in sent.items():
            steps = TRAINING.local_epochs * -(-SIZES[c] // TRAINING.batch_size)
            wanted = before["own_control.ctx"][c] - control
            wanted = wanted + (start - ended) / (steps * TRAINING.lr)
            torch.testing.assert_close(fed.private["own_control.ctx"][c], wanted, rtol=0, atol=1e-4)


def test_ditto(federation: Make) -> None:
    fed = federation(made("ditto", lam=0.5), SIZES)
    plain, ctx = Plain(fed), fed.server["global.ctx"].clone()
    personal = [ctx.clone() for _ in SIZES]
    for index, clients in enumerate(rounds(fed), start=1):

        def near(live: Tensor, start: Tensor = ctx) -> Tensor:
            return 0.25 * (live - start).square().sum()

        for c in clients:
            personal[c] = plain.train(personal[c], c, index, near)
        ctx = mean([plain.train(ctx, c, index) for c in clients], weights(clients))
    close(fed.server["global.ctx"], ctx)
    close(fed.private["ctx"], torch.stack(personal))
    alone = fed.shared_model()
    assert alone is not None
    close(alone.params["ctx"][0], ctx)


def test_finetune(federation: Make) -> None:
    fed = federation(made("finetune", epochs=3), SIZES)
    plain, ctx = Plain(fed), fed.server["ctx"].clone()
    for index, clients in enumerate(rounds(fed), start=1):
        ctx = mean([plain.train(ctx, c, index) for c in clients], weights(clients))
    tested = models_tested(fed, torch.arange(len(SIZES)), TRAINING.rounds, TRAINING, 3)
    wanted = [plain.train(ctx, c, TRAINING.rounds, epochs=3) for c in range(len(SIZES))]
    close(tested.params["ctx"], torch.stack(wanted))
    close(fed.server["ctx"], ctx)  # nothing of it is kept


def test_local(federation: Make) -> None:
    fed = federation(made("local"), SIZES)
    plain = Plain(fed)
    own = [ctx.clone() for ctx in fed.private["ctx"]]
    for index, clients in enumerate(rounds(fed), start=1):
        for c in clients:
            own[c] = plain.train(own[c], c, index)
    close(fed.private["ctx"], torch.stack(own))
    assert fed.server == {}
    assert fed.shared_model() is None


def test_fedper(federation: Make) -> None:
    fed = federation(made("fedper"), SIZES)
    plain = Plain(fed)
    base, own = fed.server["ctx"].clone(), [ctx[2:].clone() for ctx in fed.private["ctx"]]
    for index, clients in enumerate(rounds(fed), start=1):
        after = {c: plain.train(torch.cat([base, own[c]]), c, index) for c in clients}
        base = mean([ctx[:2] for ctx in after.values()], weights(clients))
        own = [after[c][2:] if c in after else own[c] for c in range(len(SIZES))]
    close(fed.server["ctx"], base)
    close(fed.private["ctx"][:, 2:], torch.stack(own))


def test_fedamp(federation: Make) -> None:
    fed = federation(made("fedamp", lam=0.2, alpha=0.3, sigma=2.0), SIZES)
    plain = Plain(fed)
    own = [ctx.clone() for ctx in fed.private["ctx"]]
    clouds: dict[int, Tensor] = {}
    for index, clients in enumerate(rounds(fed), start=1):
        for c in clients:
            cloud = clouds.get(c)

            def near(live: Tensor, cloud: Tensor | None = cloud) -> Tensor:
                if cloud is None:
                    return live.new_zeros(())
                return 0.2 / (2 * 0.3) * (live - cloud).square().sum()

            own[c] = plain.train(own[c], c, index, near)
        for i in clients:
            xi = {
                j: 0.3 / 2.0 * torch.exp(-(own[i] - own[j]).square().sum() / 2.0)
                for j in clients
                if j != i
            }
            clouds[i] = (1 - sum(xi.values())) * own[i] + sum(x * own[j] for j, x in xi.items())
    close(fed.private["ctx"], torch.stack(own))
    for c, cloud in clouds.items():
        close(fed.server["cloud.ctx"][c], cloud)


@pytest.mark.parametrize(("strategy", "weight"), [("fedprox", "mu"), ("fedamp", "lam")])
@pytest.mark.parametrize("learner", ["promptfl", "prograd", "dpfpl"])
def test_a_penalty_pulls_whatever_a_learner_makes_of_its_gradients(
    federation: Make, strategy: str, weight: str, learner: str
) -> None:
    """ProGrad and DP-FPL read their own terms by name, and would step past one that is added."""

    def ended(value: float) -> Tensor:
        fed = federation(made(strategy, learner, **{weight: value}), SIZES)
        for index in (1, 2):
            run_round(fed, TRAINING, index, Chunk(3))
        return torch.cat([t.flatten() for t in (fed.private | fed.server).values()])

    assert float((ended(5.0) - ended(0.0)).abs().max()) > 1e-3


def test_fedamp_leaves_a_client_something_of_its_own_however_many_there_are(
    federation: Make,
) -> None:
    def of(clients: int, **settings: object) -> FedAMP:
        method = made("fedamp", **settings).set_up(setup_of(0, [3] * clients, TRAINING))
        assert isinstance(method, FedAMP)
        return method

    for clients in (2, 10, 60):
        alike = torch.ones(clients, 2, 2) + 1e-6 * torch.randn(clients, 2, 2)
        method = of(clients)
        assert method.unfit() is None
        assert method.setup is not None
        kept = 1 - method.attention(torch.zeros(1)) * (method.setup.at_once - 1)
        assert float(kept) == pytest.approx(1 / method.setup.at_once, rel=1e-4)
        close(method.clouds({"ctx": alike})["ctx"], alike)
    assert "less than nothing" in str(of(60, alpha=0.1).unfit())
    assert of(60, alpha=0.1, attention="published").unfit() is None


def test_fedpers_base_is_rounded_down() -> None:
    way = made("fedper")
    assert way.base(torch.zeros(3, 2)).shape == (1, 2)  # type: ignore[attr-defined]


def test_fedamp_has_no_cloud_of_what_does_not_move() -> None:
    specs = {"a": Param(torch.ones(2)), "b": Param(torch.ones(2), lr_scale=0.0)}
    begun = made("fedamp").begin(specs, 3)
    assert "cloud.a" in begun
    assert "cloud.b" not in begun


def test_a_learner_in_a_strategy_is_told_of_the_run_too() -> None:
    setup = setup_of(0, SIZES, TRAINING)
    method = made("fedavg").set_up(setup)
    assert method.setup is method.learner.setup is setup  # type: ignore[attr-defined]


@pytest.mark.parametrize(("optimizer", "rate"), [("momentum", 1.0), ("adam", 0.01), ("yogi", 0.01)])
def test_fedopts_rate_hangs_on_its_optimizer(optimizer: str, rate: float) -> None:
    assert made("fedopt", optimizer=optimizer).rate == rate  # type: ignore[attr-defined]

"""What clients start from: own tensors, what they receive, what stays fixed."""

from __future__ import annotations

import torch
from small_federation import Make
from torch import Tensor

from fplbench.engine.chunks import Chunk
from fplbench.engine.federation import Federation
from fplbench.engine.rounds import run_round
from fplbench.method import Batch, Method, Param, Round, Task, Tensors
from fplbench.prompts import cosine_logits, text_features
from fplbench.spec import Training

TRAINING = Training(rounds=1, local_epochs=1, batch_size=4, lr=0.05)


class Everything(Method):
    """Uses every hook: a server that keeps each client's prompt and sends it to the next one."""

    name = "everything"
    title = "Everything"
    source = "this test"

    def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
        drawn = torch.randn(2, task.width, generator=generator)
        return {
            "ctx": Param(0.02 * drawn),
            "own": Param(drawn.clone(), shared=False, init="per client"),
            "fixed": Param(torch.ones(1), trained=False, shared=False),
        }

    def encode(self, params: Tensors, task: Task) -> Tensors:
        return {"t": text_features(params["ctx"] + 0.01 * params["own"], task, "end")}

    def logits(self, params: Tensors, text: Tensors, batch: Batch, task: Task) -> Tensor:
        return cosine_logits(batch.pooled, text["t"], task)

    def memory(self, task: Task, batch: Batch) -> Tensors:
        return {"images": batch.mask.sum(1)}

    def prepare(self, params: Tensors, received: Tensors, task: Task) -> Tensors:
        return {"received": received["ctx"]}

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        pull = (params["ctx"] - batch.fixed["received"]).square().sum((1, 2))
        return super().losses(params, batch, task) | {"pull": pull}

    def upload(self, params: Tensors, r: Round) -> Tensors:
        noise = torch.stack(
            [torch.randn(2, generator=r.generator("noise", int(c))) for c in r.clients]
        )
        return {"ctx": params["ctx"], "noise": noise}

    def aggregate(self, server: Tensors, uploads: Tensors, r: Round) -> Tensors:
        return {"ctx": uploads["ctx"].mean(0), "noise": uploads["noise"].sum(0)}

    def download(self, server: Tensors, r: Round) -> Tensors:
        return {"ctx": server["ctx"] + r.clients[:, None, None]}


def everything(make: Make) -> Federation:
    return make(Everything(Everything.Config()))


def test_a_tensor_drawn_for_each_client_differs_and_the_others_do_not(federation: Make) -> None:
    fed = everything(federation)
    assert not torch.equal(fed.private["own"][0], fed.private["own"][1])
    assert torch.equal(fed.private["fixed"][0], fed.private["fixed"][1])
    again = everything(federation)
    assert torch.equal(fed.private["own"], again.private["own"])
    assert fed.trained == ("ctx", "own")
    assert fed.shared == ("ctx",)


def test_downloads_may_differ_by_client_and_stay_fixed_for_the_round(federation: Make) -> None:
    fed = everything(federation)
    r = fed.round_of(torch.tensor([2, 0]), 1)
    models = fed.models(r, fed.local_data([2, 0]))
    assert torch.equal(models.params["ctx"][0], fed.server["ctx"] + 2)
    assert torch.equal(models.fixed["received"], models.params["ctx"])
    assert models.fixed["images"].tolist() == [12, 9]


def test_a_clients_randomness_does_not_depend_on_the_chunk(federation: Make) -> None:
    whole, cut = everything(federation), everything(federation)
    run_round(whole, TRAINING, 1, chunk=Chunk(3))
    run_round(cut, TRAINING, 1, chunk=Chunk(1))
    assert torch.equal(whole.server["noise"], cut.server["noise"])
    torch.testing.assert_close(whole.server["ctx"], cut.server["ctx"], rtol=1e-5, atol=1e-6)


def test_traffic_counts_what_is_sent_and_nothing_else(federation: Make) -> None:
    fed = everything(federation)
    log = run_round(fed, TRAINING, 1, chunk=Chunk(2))
    one = fed.server["ctx"].numel() * 4
    assert (log.up_bytes, log.down_bytes) == (3 * (one + 2 * 4), 3 * one)
    assert set(log.losses) == {"ce", "pull"}


def test_a_client_never_sampled_has_initial_private_and_current_shared_tensors(
    federation: Make,
) -> None:
    fed = everything(federation)
    start = {name: t.clone() for name, t in fed.private.items()}
    log = run_round(fed, TRAINING.model_copy(update={"participation": 0.34}), 1, chunk=Chunk(3))
    absent = next(c for c in range(3) if c not in log.clients)
    models = fed.models(fed.round_of(torch.tensor([absent]), 1), None)
    assert torch.equal(models.params["own"][0], start["own"][absent])
    assert torch.equal(models.params["ctx"][0], fed.server["ctx"] + absent)
    assert "images" not in models.fixed


def test_a_tensor_that_is_not_trained_stays_as_it_is(federation: Make) -> None:
    fed = everything(federation)
    run_round(fed, TRAINING, 1, chunk=Chunk(3))
    assert torch.equal(fed.private["fixed"], torch.ones(3, 1))

"""What clients start from: own tensors, what they receive, what stays fixed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from every_hook import EveryHook
from small_federation import Make

from fplbench.engine.chunks import Chunk
from fplbench.engine.federation import Federation
from fplbench.engine.fit import run_round
from fplbench.method import Method, Param, Task
from fplbench.spec import Training

TRAINING = Training(rounds=1, local_epochs=1, batch_size=4, lr=0.05)


def everything(make: Make) -> Federation:
    return make(EveryHook(EveryHook.Config()))


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
    assert torch.equal(models.params["ctx"][0], fed.server["ctx"] + 0.002)
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
    assert torch.equal(models.params["ctx"][0], fed.server["ctx"] + 0.001 * absent)
    assert "images" not in models.fixed


def test_a_tensor_that_is_not_trained_stays_as_it_is(federation: Make) -> None:
    fed = everything(federation)
    run_round(fed, TRAINING, 1, chunk=Chunk(3))
    assert torch.equal(fed.private["fixed"], torch.ones(3, 1))


def without(make: Make, hook: str) -> Federation:
    """The same with Method's own way of doing this."""
    plain = type("Plain", (EveryHook,), {hook: getattr(Method, hook)})
    return make(plain(plain.Config()))


@pytest.mark.parametrize("hook", ["gradients", "aggregate", "download"])
def test_every_hook_decides_something(federation: Make, hook: str) -> None:
    fed, other = everything(federation), without(federation, hook)
    for index in (1, 2):
        run_round(fed, TRAINING, index, chunk=Chunk(3))
        run_round(other, TRAINING, index, chunk=Chunk(3))
    assert not torch.equal(fed.server["ctx"], other.server["ctx"])


@pytest.mark.parametrize(
    ("hook", "gives"), [("upload", "noise"), ("merge", "expert"), ("prepare", "received")]
)
def test_a_hook_gives_what_another_reads(federation: Make, hook: str, gives: str) -> None:
    with pytest.raises(KeyError, match=gives):
        run_round(without(federation, hook), TRAINING, 1, chunk=Chunk(3))


def test_a_tensor_is_trained_at_its_own_rate(federation: Make) -> None:
    class Still(EveryHook):
        def init(self, task: Task, generator: torch.Generator) -> dict[str, Param]:
            specs = super().init(task, generator)
            return specs | {"own": replace(specs["own"], lr_scale=0)}

    for kind, moves in ((EveryHook, True), (Still, False)):
        fed = federation(kind(kind.Config()))
        start = fed.private["own"].clone()
        run_round(fed, TRAINING, 1, chunk=Chunk(3))
        assert torch.equal(fed.private["own"], start) != moves


@pytest.mark.parametrize("steps", [{"pooled"}, {"pooled", "patches"}])
def test_a_step_is_given_the_patches_that_it_reads(federation: Make, steps: set[str]) -> None:
    class Some(EveryHook):
        step_inputs = frozenset(steps)

    data = federation(Some(Some.Config())).local_data([0, 1], [0])
    first = torch.zeros(2, 1, dtype=torch.long)
    batch = data.batch(first, first == 0, first[:, 0], {})
    assert (batch.patches is not None) == ("patches" in steps)
    assert data.everything().patches is not None


def test_a_moved_start_is_a_millionth_beside_the_drawn_one_in_all_that_is_trained(
    federation: Make,
) -> None:
    def starts(nudge: int) -> dict[str, torch.Tensor]:
        fed = federation(EveryHook(EveryHook.Config()), nudge=nudge)
        assert all(torch.equal(fed.specs[n].value, fed.server[n]) for n in fed.shared)
        return fed.server | fed.private

    drawn, moved, other = starts(0), starts(1), starts(2)
    assert all(torch.equal(starts(1)[name], moved[name]) for name in moved)
    for name in ("ctx", "own"):
        assert torch.allclose(moved[name], drawn[name], rtol=1e-5, atol=0)
        relative = (moved[name] / drawn[name] - 1).std()
        assert 0.5e-6 < relative < 2e-6, name
        assert not torch.equal(moved[name], other[name])
    assert torch.equal(moved["fixed"], drawn["fixed"])


def test_the_padding_has_a_label_whatever_the_first_image_of_the_data_is(
    federation: Make,
) -> None:
    """It is image 0, which may be of a class that nobody trains on."""
    fed = everything(federation)
    trained = np.array([1, 2, 3])
    rows = tuple(own[fed.images.labels[own] != 0] for own in fed.scenario.train_rows)
    fed.scenario = replace(fed.scenario, train_rows=rows, train_classes=trained)
    data = fed.local_data([0, 1])
    assert not data.mask.all()
    assert data.labels[~data.mask].unique().tolist() == [0]
    assert set(data.labels[data.mask].tolist()) == {0, 1, 2}


def test_the_last_class_may_have_no_training_image(federation: Make) -> None:
    fed = everything(federation)
    rows = tuple(own[fed.images.labels[own] != 3] for own in fed.scenario.train_rows)
    fed.images = replace(fed.images, labels=np.minimum(fed.images.labels, 2))
    fed.scenario = replace(fed.scenario, train_rows=rows)
    assert fed.local_data([0]).labels.max() == 2

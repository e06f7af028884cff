"""What a budget rests on: the norm over all tensors, what is released, whose row is whose."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from plain_clients import SIZES, TRAINING, made

from fplbench.engine.fit import setup_of
from fplbench.engine.train import by_rows
from fplbench.method import Batch
from fplbench.strategies._accounting import FixedSample, PoissonSample


def test_dp_fedavg_clips_the_norm_of_all_tensors_together() -> None:
    way: Any = made("dp-fedavg", clip=1.0, noise=0.0)
    server = {"a": torch.zeros(3), "b": torch.zeros(2)}
    found = way.clipped(server, {"a": torch.tensor([[3.0, 0, 0]]), "b": torch.tensor([[0, 4.0]])})
    assert [found[name].norm().item() for name in "ab"] == pytest.approx([0.6, 0.8])


def test_dp_sgd_clips_the_norm_of_all_tensors_together() -> None:
    way = made("dp-sgd", clip=1.0, noise=0.0)
    batch = Batch(
        mask=torch.ones(1, 1, dtype=torch.bool),
        pooled=torch.zeros(1, 1, 1),
        expected=torch.ones(1),
        clients=torch.zeros(1, dtype=torch.long),
        generator=lambda *_: torch.Generator(),
    )
    found = way.of_images({"a": torch.tensor([[[3.0]]]), "b": torch.tensor([[[4.0]]])}, batch)
    assert [found[name].item() for name in "ab"] == pytest.approx([0.6, 0.8])


def test_what_is_released_is_every_step_of_every_epoch_and_every_round() -> None:
    setup = setup_of(0, SIZES, TRAINING)
    sgd: Any = made("dp-sgd").set_up(setup)
    wanted = [
        PoissonSample(min(1.0, 4 / size), rounds * 2 * -(-size // 4))
        for size, rounds in zip(SIZES, setup.rounds, strict=True)
        if rounds
    ]
    assert (TRAINING.batch_size, TRAINING.local_epochs) == (4, 2)
    assert sgd.releases == wanted
    fedavg: Any = made("dp-fedavg").set_up(setup)
    assert fedavg.releases == [FixedSample(len(SIZES), setup.at_once, TRAINING.rounds)]


def test_images_as_rows_keep_their_client_and_its_classes() -> None:
    mask = torch.tensor([[True, False], [False, True]])
    batch = Batch(
        mask=torch.ones(2, 3, dtype=torch.bool),
        pooled=torch.zeros(2, 3, 1),
        class_mask=mask,
        clients=torch.tensor([4, 7]),
        expected=torch.tensor([1.0, 2.0]),
    )
    rows = by_rows(batch)
    assert rows.clients is not None
    assert rows.class_mask is not None
    assert rows.clients.tolist() == [4, 4, 4, 7, 7, 7]
    assert rows.class_mask.tolist() == [[True, False]] * 3 + [[False, True]] * 3

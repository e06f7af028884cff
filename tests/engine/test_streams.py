"""Every draw is of its own seed, purpose, client, round and step: no other has the same."""

from __future__ import annotations

import numpy as np
import torch
from random_clients import method
from small_federation import Make, federation, scenario, task

from fplbench.engine import newcomers
from fplbench.engine.fit import sample_clients
from fplbench.engine.membership import halves
from fplbench.engine.train import Steps, draw_each, draw_steps

__all__ = ["federation", "task"]  # fixtures


def test_generators_differ_in_all_that_names_them(federation: Make) -> None:
    seen = []
    for seed in (0, 1):
        fed = federation(method("promptfl"), seed=seed)
        for index in (1, 2):
            r, of_step = fed.round_of(torch.arange(3), index), fed.generator_of(index)
            for purpose in ("a", "b"):
                seen += [r.generator(purpose, who).initial_seed() for who in (0, 1, None)]
                seen += [
                    of_step(purpose, client, step).initial_seed()
                    for client in (0, 1)
                    for step in (0, 1)
                ]
    assert len(set(seen)) == len(seen) == 2 * 2 * 2 * 7


def test_coins_and_orders_differ_by_seed_round_and_client() -> None:
    def drawn(steps: Steps) -> list[list[int]]:
        return [steps.index[t, 0][steps.mask[t, 0]].tolist() for t in range(len(steps.index))]

    for draw in (draw_each, draw_steps):
        every = [
            drawn(draw([30], [client], 8, 2, seed, index))
            for client in (0, 1)
            for seed in (0, 1)
            for index in (1, 2)
        ]
        assert all(every.count(one) == 1 for one in every)


def test_a_seed_decides_who_takes_part_who_is_new_who_is_tested_and_where_it_starts(
    federation: Make,
) -> None:
    everyone = torch.arange(100)
    assert not torch.equal(*(sample_clients(everyone, 0.1, seed, 1) for seed in (0, 1)))
    assert not torch.equal(*(newcomers.choose(60, 0.3, seed)[0] for seed in (0, 1)))
    assert not torch.equal(*(newcomers.sample(everyone, 10, seed) for seed in (0, 1)))
    starts = [federation(method("promptfl"), seed=seed).server["ctx"] for seed in (0, 1)]
    assert not torch.equal(*starts)
    clients = scenario((12, 9))
    assert not np.array_equal(*(halves(clients, seed, 0)[0] for seed in (0, 1)))

"""Clients that take no part in training and come when it is over, and those that are tested."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fplbench import rng
from fplbench.errors import UserError
from fplbench.scenario import NEW, TUNED

Numbers = dict[str, NDArray[np.float64]]


def choose(clients: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """The ids of the new clients and of the others, alike for every method.

    A share above 0 makes at least one new client; UserError where it leaves nobody to train.
    """
    everyone = torch.arange(clients)
    if not share:
        return everyone[:0], everyone
    # As in a round: a product that should be whole may fall short of it in its last bits.
    count = max(1, math.floor(share * clients + 1e-9))
    if count >= clients:
        raise UserError(
            f"new_clients {share:g} of {clients} clients leaves nobody to train: use more clients"
        )
    order = torch.randperm(clients, generator=rng.generator(seed, "new clients"))
    return order[:count].sort().values, order[count:].sort().values


def sample(clients: Tensor, count: int, seed: int) -> Tensor:
    """So many of the ids, drawn from the seed; all of them where count is 0 or more than there
    are."""
    if not count or count >= len(clients):
        return clients
    order = torch.randperm(len(clients), generator=rng.generator(seed, "evaluated clients"))
    return clients[order[:count]].sort().values


def refuse_ambiguous(questions: Mapping[str, object]) -> None:
    """A question of a scenario's must not read as one that is put to new clients."""
    for name in questions:
        if name.startswith((NEW, TUNED)):
            raise UserError(
                f"the question {name!r} begins like those for new clients: rename it in its "
                "scenario, or leave new_clients at 0"
            )


def parted(found: Numbers, later: Numbers, new: Tensor) -> Numbers:
    """The numbers [C] of those that trained, and the new clients' by names of their own; in each
    nan for the others. later: of the new clients after their epochs, [C]."""
    who = np.zeros(len(next(iter(found.values()))), dtype=bool)
    who[new.numpy()] = True
    return (
        {name: np.where(who, np.nan, values) for name, values in found.items()}
        | {f"{NEW}{name}": np.where(who, values, np.nan) for name, values in found.items()}
        | {f"{TUNED}{name}": np.where(who, values, np.nan) for name, values in later.items()}
    )

"""Clients whose models are one model: an image is put to it once, however many it examines.

So it is after an average that all clients receive and keep nothing beside (PromptFL, MaPLe):
their text is encoded once instead of for each client, and so is an image that all are tested on.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fplbench.engine.federation import Models


def one_of(models: Models) -> Models | None:
    """The model of all clients, [1, ...], where theirs are the same to the bit; else None."""
    tensors = (*models.params.values(), *models.fixed.values())
    if not models.params or any(not torch.equal(t, t[:1].expand_as(t)) for t in tensors):
        return None
    params, fixed = ({n: t[:1] for n, t in e.items()} for e in (models.params, models.fixed))
    return replace(models, params=params, fixed=fixed)


def distinct(rows: Tensor) -> Tensor:
    """[B]: how many different images each column of rows [C, B] names."""
    ordered = rows.sort(dim=0).values
    return 1 + (ordered[1:] != ordered[:-1]).sum(0)

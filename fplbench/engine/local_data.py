"""The training images of the clients that are computed together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fplbench.dataset import IntArray
from fplbench.method import Batch, Tensors


@dataclass(frozen=True)
class Draws:
    """Where local steps draw from. clients: [C], their ids; generator: by purpose, client, step."""

    clients: Tensor
    generator: Callable[[str, int, int], torch.Generator]


@dataclass(frozen=True)
class LocalData:
    """The training images of C clients, padded to the largest client, on the device.

    pooled: [R, D]; patches: [R, M, D]; embedded: [R, L, w]; norms: [R]; mirrored: [R, D]; features
    of R images, those of these clients among them, in whatever precision they are kept; a batch has
    them in float32.
    plain: [C, S], where each client's images are; rows: [E, C, S], where the view of them is that
    an epoch trains on.
    labels: [C, S], places in trained_on, the class names of training; mask: [C, S];
    class_mask: [C, K]. patches_in_steps: whether local steps read the patches too.
    """

    plain: Tensor
    rows: Tensor
    labels: Tensor
    mask: Tensor
    pooled: Tensor
    patches: Tensor | None
    class_mask: Tensor | None
    trained_on: tuple[str, ...] = ()
    patches_in_steps: bool = True
    embedded: Tensor | None = None
    norms: Tensor | None = None
    mirrored: Tensor | None = None

    def everything(self) -> Batch:
        """All images of each client as they are, for Method.memory."""
        return Batch(
            mask=self.mask,
            pooled=self.pooled[self.plain].float(),
            patches=None if self.patches is None else self.patches[self.plain].float(),
            embedded=None if self.embedded is None else self.embedded[self.plain].float(),
            norms=None if self.norms is None else self.norms[self.plain],
            mirrored=None if self.mirrored is None else self.mirrored[self.plain],
            labels=self.labels,
            class_mask=self.class_mask,
            trained_on=self.trained_on,
        )

    def batch(
        self,
        index: Tensor,
        mask: Tensor,
        epoch: Tensor,
        fixed: Tensors,
        step: int = 0,
        draws: Draws | None = None,
        expected: Tensor | None = None,
    ) -> Batch:
        """The images at positions index [k, B] of the first k clients, in their epochs [k].

        expected: of at least these clients, as a batch has it."""
        k = len(index)
        clients = torch.arange(k, device=index.device)[:, None]
        rows = self.rows[epoch[:, None], clients, index]
        patches = self.patches if self.patches_in_steps else None
        return Batch(
            mask=mask,
            pooled=self.pooled[rows].float(),
            patches=None if patches is None else patches[rows].float(),
            embedded=None if self.embedded is None else self.embedded[rows].float(),
            norms=None if self.norms is None else self.norms[rows],
            mirrored=None if self.mirrored is None else self.mirrored[rows],
            labels=self.labels[clients, index],
            class_mask=None if self.class_mask is None else self.class_mask[:k],
            fixed={name: value[:k] for name, value in fixed.items()},
            trained_on=self.trained_on,
            step=step,
            clients=None if draws is None else draws.clients[:k],
            generator=None if draws is None else draws.generator,
            expected=None if expected is None else expected[:k],
        )


def pad_rows(rows: Sequence[IntArray]) -> tuple[Tensor, Tensor]:
    """Stack lists of differing length: [C, S] with 0 where there is none, and the mask."""
    longest = max(map(len, rows))
    index = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for c, own in enumerate(rows):
        index[c, : len(own)] = torch.from_numpy(own)
        mask[c, : len(own)] = True
    return index, mask

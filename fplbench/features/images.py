"""What training and testing read of a split: features and labels, never pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fplbench.dataset import IntArray


@dataclass(frozen=True)
class Images:
    """Features and labels of one split, in host memory or mapped from disk.

    pooled: [M, D]; patches: [M, P, D], None where the method does not ask for them; embedded:
    [M, L, w], embedded patches before the image tower, None likewise; norms: [M], the lengths of
    pooled features, None likewise; mirrored: [M, D], the pooled features of the mirrored images,
    None likewise.
    labels: [M], indices into the data set's class names.
    views: the same images cropped and flipped, views 1, 2 ... beside this one, which is view 0.
    """

    labels: IntArray
    pooled: Tensor
    patches: Tensor | None
    views: tuple[Images, ...] = ()
    embedded: Tensor | None = None
    norms: Tensor | None = None
    mirrored: Tensor | None = None

    def epoch_view(self, epoch: int) -> int:
        """The view that an epoch, counted from 0 over all rounds, is trained on."""
        return epoch % (1 + len(self.views))


def chained(labels: IntArray, parts: Sequence[Images]) -> Images:
    """Splits of several data sets as one, which takes their labels' place; views are left out."""

    def every(kind: str) -> Tensor | None:
        found = [getattr(part, kind) for part in parts]
        return None if any(each is None for each in found) else torch.cat(found)

    pooled = torch.cat([part.pooled for part in parts])
    patches, embedded, norms = every("patches"), every("embedded"), every("norms")
    return Images(labels, pooled, patches, (), embedded, norms, every("mirrored"))

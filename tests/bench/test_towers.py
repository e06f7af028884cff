"""Local steps through the image tower, and with a context for each image, beside plain ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cases import TOWERS, ours, plain
from measure import flops_and_peak, in_turn, matrix_rate

from fplbench.clip.backbone import Backbone
from fplbench.engine.memory import peak_bytes

Row = Callable[..., None]
TARGETS = {"cocoop": 8.0, "maple": 1.5, "vpt": 1.5, "promptsrc": 1.5, "fedmgp": 1.5}


@pytest.mark.parametrize("name", TARGETS)
def test_tower_step(name: str, clip: Backbone, row: Row) -> None:
    """The arithmetic of the image tower is the floor of all but CoCoOp: no step can do with less
    than its products, forward and back. How near it is says the share of their rate alone."""
    device, together, alone = clip.device, ours(TOWERS, name, clip), plain(TOWERS, name, clip)
    pixels = torch.randn(TOWERS.batch, 3, *clip.image_size, device=device)
    labels = torch.arange(TOWERS.batch, device=device) % len(TOWERS.classnames)

    def published() -> object:
        return alone.step(pixels, labels)

    images = "pixels" in together.method.inputs
    width = together.task.image_width if images else clip.text.width
    rate = matrix_rate(width, 4096, device, torch.float32)
    (products, peak), theirs = flops_and_peak(together.step), peak_bytes(published)
    works, rounds = {"ours": together.step, "plain": published}, {"ours": 1, "plain": 2}
    took = in_turn(works, rounds, device, warm=True)
    rate = max(rate, matrix_rate(width, 4096, device, torch.float32))
    row(
        "towers",
        case=TOWERS.name,
        method=name,
        clients=TOWERS.clients,
        ms=1e3 * took["ours"] / TOWERS.clients,
        plain_ms=1e3 * took["plain"],
        ratio=took["plain"] / (took["ours"] / TOWERS.clients),
        target=TARGETS[name],
        peak_mib=peak / 2**20,
        plain_peak_mib=theirs / 2**20,
        matrix_share=products / took["ours"] / rate,
        matrix_share_target=0.7 if images else None,
    )

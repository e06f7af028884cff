"""Mine (authors, venue, year): one sentence on how it travels."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from fplbench.method import Round, Settings
from fplbench.strategy import Strategy


class Mine(Strategy):
    """w <- sum_c a_c w_c,  a_c = n_c^power / sum_i n_i^power, over the clients of a round"""

    name = "mine"
    title = "Mine"
    source = "Authors, Title, Venue Year"

    class Config(Settings):
        power: float = Field(
            0.5, ge=0, description="Of a client's images in its weight. Where the number is from."
        )

    config: Config

    def weights(self, r: Round) -> Tensor:
        """[C]: what each client counts for; they sum to one."""
        counts = r.sizes.to(torch.float64) ** self.config.power
        return counts / counts.sum()

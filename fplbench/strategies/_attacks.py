"""Clients that attack, as settings of what defends against them.

An attack by itself decides nothing: what is asked is how it ends under a defence, the plain mean
among them. So each defence has the same attacks as settings, and any of them meets any attack from
the command line (--strategies mean,median,krum --malicious 0.2 --set 'attack=["labels","model"]').
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from fplbench import rng
from fplbench.method import Batch, Round, Settings, Task, Tensors, equal_weights, mean_of
from fplbench.strategy import Fact, Strategy

MEANINGS = {
    "labels": "They train on labels flipped from class k to K - 1 - k.",
    "model": "They send their change turned round and multiplied by {scale:g}.",
}


class Attacked(Settings):
    """Who attacks, and how."""

    malicious: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="Share of the clients that attack, rounded down; which ones follows from the "
        "seed. 0: ours, nobody; below a half, where no defence here can hold.",
    )
    attack: Literal["labels", "model"] = Field(
        "labels",
        description="labels: they train on labels flipped from k to K - 1 - k, as Yin et al., ICML "
        "2018, section 7. model: they send w - scale (w_c - w) in place of w_c (sign flipping, Li "
        "et al., AAAI 2019). labels: ours.",
    )
    scale: float = Field(
        10.0, gt=0, description="How many times its change a model attack sends. 10: ours."
    )


class Defence(Strategy):
    """A rule of the server's, tried against attackers: `aggregate` is the rule.

    Attackers are tested like all others; the mean over clients says what they did to the rest.
    """

    class Config(Attacked):
        pass

    config: Attacked

    @property
    def attackers(self) -> tuple[int, ...]:
        """The clients that attack, by falling luck of a draw of the run's seed."""
        if self.setup is None:
            return ()
        count = math.floor(self.config.malicious * len(self.setup.clients) + 1e-9)
        drawn = rng.numpy_generator(self.setup.seed, "malicious")
        order = drawn.permutation(self.setup.clients)
        return tuple(sorted(order[:count].tolist()))

    def facts(self) -> dict[str, Fact]:
        assert self.setup is not None
        who = self.attackers
        if not who:
            return {"malicious": Fact(title="attackers", value="none")}
        some = ", ".join(map(str, who[:10])) + (", ..." if len(who) > 10 else "")
        return {
            "malicious": Fact(
                title="attackers",
                value=f"{len(who)} of {len(self.setup.clients)} clients ({some})",
                meaning=MEANINGS[self.config.attack].format(scale=self.config.scale),
            ),
        }

    def attacking(self, clients: Tensor) -> Tensor:
        """[C]: which of these clients attack."""
        return torch.isin(clients, torch.tensor(self.attackers, dtype=clients.dtype).to(clients))

    def losses(self, params: Tensors, batch: Batch, task: Task) -> Tensors:
        if self.config.attack == "labels" and self.attackers and batch.clients is not None:
            assert batch.labels is not None
            lies = self.attacking(batch.clients).to(batch.labels.device)[:, None]
            flipped = len(task.classnames) - 1 - batch.labels
            # An attacker keeps to no class list: the flipped class may not be of its own.
            among = None if batch.class_mask is None else batch.class_mask | lies
            labels = torch.where(lies, flipped, batch.labels)
            batch = replace(batch, labels=labels, class_mask=among)
        return super().losses(params, batch, task)

    def received(self, server: Tensors, uploads: Tensors, r: Round) -> Tensors:
        """What the server is sent: of a model attack, the change turned round and enlarged."""
        if self.config.attack != "model" or not self.attackers:
            return uploads
        lies = self.attacking(r.clients)
        found = {}
        for name, sent in uploads.items():
            turned = server[name] - self.config.scale * (sent - server[name])
            found[name] = torch.where(lies.view(-1, *[1] * (sent.dim() - 1)), turned, sent)
        return found

    def weights(self, r: Round) -> Tensor:
        """All alike: a client's word for how many images it has is worth nothing here."""
        return equal_weights(r)

    def aggregate(self, server: Tensors, uploads: Tensors, r: Round) -> Tensors:
        return self.rule(self.received(server, uploads, r), r)

    def rule(self, uploads: Tensors, r: Round) -> Tensors:
        """The server's tensors, of what it was sent, each [C, ...]; the plain mean by default."""
        return mean_of(uploads, self.weights(r))

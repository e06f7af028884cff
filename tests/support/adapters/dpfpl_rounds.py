"""DP-FPL's published loop over rounds and batches, fault and all, around our gradients."""

from __future__ import annotations

from dataclasses import dataclass
from unittest import mock

import torch
import torch.nn.functional as F
from golden_cases import Case
from torch import Tensor

from adapters.base import Close, backbone_of
from fplbench.clip.task import PromptTask
from fplbench.engine.train import step_gradients
from fplbench.method import Batch, Method


@dataclass(frozen=True)
class Recorded:
    """In place of Batch.draw: the draws of a batch for all clients."""

    case: Case
    round: int
    batch: int

    def __call__(
        self, purpose: str, make: object, step: object = None, alike: bool = False
    ) -> Tensor:
        if purpose == "noise_server":  # the loop adds it itself, once
            one = torch.zeros_like(self.case.of("init.global_ctx"))
            return one.expand(int(self.case.number("users")), -1, -1)
        return self.case.of(f"input.{purpose}")[self.round, self.batch]


def check(method: Method, case: Case, close: Close) -> None:
    """Losses of every batch, and the tensors after both rounds."""
    backbone = backbone_of(case)
    task = PromptTask(backbone.text, case.classnames, ["a photo of a {}."], backbone.logit_scale)
    images, labels = F.normalize(case.of("input.image_features"), dim=-1), case.of("input.labels")
    clients, rounds, batches = (int(case.number(n)) for n in ("users", "rounds", "batches"))
    lr = case.number("lr")
    params = {
        "ctx_global": case.of("init.global_ctx").expand(clients, -1, -1).clone(),
        "ctx_local": case.of("init.local_ctx").expand(clients, -1, -1).clone(),
    }
    losses = torch.zeros(rounds, batches, clients)
    for r in range(rounds):
        for b in range(batches):
            batch = Batch(
                mask=torch.ones(clients, images.shape[2], dtype=torch.bool),
                pooled=images[:, b],
                labels=labels[:, b],
            )
            with mock.patch.object(Batch, "draw", Recorded(case, r, b)):
                terms, grads = step_gradients(method, params, list(params), batch, task)
            losses[r, b] = terms["ce"]
        # Only the last batch's step is kept.
        noise = case.number("std_server") * case.of("input.noise_server")[r, batches - 1]
        params["ctx_global"] = params["ctx_global"] - lr * (grads["ctx_global"].mean(0) + noise)
        params["ctx_local"] = params["ctx_local"] - lr * grads["ctx_local"][-1]
    close("losses of all batches", losses, case.of("expected.losses"))
    for theirs, ours in (("global_ctx", "ctx_global"), ("local_ctx", "ctx_local")):
        close(
            f"{theirs} after the rounds", params[ours], case.of(f"expected.after_rounds.{theirs}")
        )

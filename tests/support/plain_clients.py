"""The clients of a small federation one at a time: their training as a plain loop.

The loop knows one learner, a context with cross-entropy, and torch's own optimizer; it shares with
the engine the batches of a client and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from fplbench.engine.chunks import Chunk
from fplbench.engine.federation import Federation
from fplbench.engine.fit import run_round
from fplbench.engine.train import draw_steps
from fplbench.method import Method
from fplbench.plugins import registry
from fplbench.spec import Training

SIZES = (9, 5, 12)
TRAINING = Training(rounds=3, local_epochs=2, batch_size=4, lr=0.2, participation=0.7)

Term = Callable[[Tensor], Tensor]  # of a context: what is added to the loss
Change = Callable[[Tensor], Tensor]  # of a gradient: the one that is stepped along


def made(name: str, learner: str = "promptfl", **settings: object) -> Method:
    kind, way = registry.methods().get(learner), registry.strategies().get(name)
    return way(way.Config(**settings), kind(kind.Config(n_ctx=4)))


class Plain:
    """The clients of a federation with their images, one at a time."""

    def __init__(self, fed: Federation) -> None:
        self.fed = fed
        self.start = fed.method.init(fed.task, torch.Generator())["ctx"].value.shape

    def loss(self, ctx: Tensor, client: int, rows: Tensor) -> Tensor:
        task, images = self.fed.task, self.fed.images
        t = F.normalize(task.encode_prompts(ctx[None, None])[0, 0], dim=-1)
        mine = torch.from_numpy(self.fed.scenario.train_rows[client])[rows]
        labels = torch.from_numpy(images.labels)[mine]
        return F.cross_entropy(task.logit_scale * images.pooled[mine] @ t.T, labels)

    def train(
        self,
        ctx: Tensor,
        client: int,
        index: int,
        term: Term | None = None,
        change: Change | None = None,
        epochs: int = TRAINING.local_epochs,
    ) -> Tensor:
        """A client's context after a round."""
        live = ctx.clone().requires_grad_()
        optimizer = torch.optim.SGD([live], TRAINING.lr, 0.9, weight_decay=5e-4)
        steps = draw_steps([SIZES[client]], [client], TRAINING.batch_size, epochs, 0, index)
        for order, mask in zip(steps.index[:, 0], steps.mask[:, 0], strict=True):
            loss = self.loss(live, client, order[mask])
            loss = loss if term is None else loss + term(live)
            (gradient,) = torch.autograd.grad(loss, live)
            live.grad = gradient if change is None else change(gradient)
            optimizer.step()
        return live.detach()


def weights(clients: list[int], equal: bool = False) -> Tensor:
    sizes = torch.tensor([1.0 if equal else SIZES[c] for c in clients])
    return sizes / sizes.sum()


def mean(contexts: list[Tensor], by: Tensor) -> Tensor:
    return torch.einsum("c,cnd->nd", by, torch.stack(contexts))


def rounds(fed: Federation) -> list[list[int]]:
    """Run them all; who took part in each."""
    return [
        list(run_round(fed, TRAINING, index, Chunk(2)).clients)
        for index in range(1, TRAINING.rounds + 1)
    ]


def close(ours: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(ours, wanted, rtol=0, atol=2e-5 * float(wanted.abs().max()))

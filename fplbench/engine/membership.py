"""Membership inference: can it be told from a trained model which images it was trained on?

Several federations of one cell are trained, each on another half of every client's images, so that
each image is in half of them. An attacker who knows the cell, the images, and which half the other
federations had, guesses for each image whether one of them had it:

loss        an image whose label the model is surer of was more likely in (Yeom et al., CSF 2018)
likelihood  lambda = log N(phi; mu_in, s_in) - log N(phi; mu_out, s_out),  phi = log p - log(1 - p)
            of the image's own mean in the other federations, with the deviation of all images
            together, as is advised for few of them    (LiRA, Carlini et al., S&P 2022, section 6)

Both are scored by the area under the ROC curve: 0.5 is a guess.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from fplbench import rng
from fplbench.dataset import IntArray
from fplbench.engine.chunks import Chunk, in_chunks
from fplbench.engine.evaluate import models_tested
from fplbench.engine.federation import Federation
from fplbench.method import Batch
from fplbench.scenario import Clients
from fplbench.spec import Training

FEWEST = 6
"""Federations: of those that an attack learns from each image is in two and out of two."""


@dataclass(frozen=True)
class Leak:
    """How well an attacker guesses. loss, likelihood: the area under the ROC curve for each
    federation as the one attacked, [R]. images: how many are guessed about."""

    loss: NDArray[np.float64]
    likelihood: NDArray[np.float64]
    images: int


def halves(clients: Clients, seed: int, number: int) -> tuple[IntArray, ...]:
    """Each client's half of its images in federation `number`: 2 i and 2 i + 1 have the two halves
    of draw i. A client with a single image has it in all."""
    found = []
    for client, rows in enumerate(clients.train_rows):
        order = rng.numpy_generator(seed, "membership", number // 2, client).permutation(len(rows))
        cut = len(rows) // 2
        half = order[:cut] if number % 2 else order[cut:]
        found.append(rows if len(rows) < 2 else rows[np.sort(half)])
    return tuple(found)


def judged(federations: Sequence[tuple[NDArray[np.float64], NDArray[np.bool_]]]) -> Leak:
    """phi of every image, [N], and whether it was in, [N], of each federation in turn attacked with
    what the others show."""
    phi, inside = (np.stack(each) for each in zip(*federations, strict=True))  # [R, N]
    if len(phi) < FEWEST or len(phi) % 2:
        raise ValueError(f"{len(phi)} federations: an attack needs pairs, {FEWEST} or more in all")
    guessed = ~inside.all(0)
    phi, inside = phi[:, guessed], inside[:, guessed]
    by_loss, by_ratio = [], []
    for run in range(len(phi)):
        # Without its pair too: what an image is in and out of stays even, and tells nothing.
        others = np.arange(len(phi)) // 2 != run // 2
        by_loss.append(roc_auc_score(inside[run], phi[run]))
        ratio = _log_normal(phi[run], phi[others], inside[others])
        ratio -= _log_normal(phi[run], phi[others], ~inside[others])
        by_ratio.append(roc_auc_score(inside[run], ratio))
    return Leak(np.array(by_loss), np.array(by_ratio), int(guessed.sum()))


def _log_normal(
    phi: NDArray[np.float64], others: NDArray[np.float64], which: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """[N]: the log density of phi under its own mean of those `which`, [R, N], and one deviation
    for all; but for a constant."""
    counts = which.sum(0)
    mean = (others * which).sum(0) / counts
    spread = (which * (others - mean) ** 2).sum() / max(1, (counts - 1).sum())
    spread = max(float(spread), 1e-12)
    found: NDArray[np.float64] = -0.5 * (phi - mean) ** 2 / spread - 0.5 * np.log(spread)
    return found


@torch.no_grad()
def log_odds(
    federation: Federation, images: Clients, training: Training, chunk: Chunk
) -> NDArray[np.float64]:
    """phi of each image of each client that trains, one client after the other, by the model that
    the client is tested with. images: the same clients with all of their images."""
    whole = copy.copy(federation)
    whole.scenario = images

    def of(clients: Tensor) -> Iterator[NDArray[np.float64]]:
        models = models_tested(
            federation, clients, training.rounds, training, federation.method.test_epochs
        )
        text = federation.method.encode(models.params, federation.task)
        data = whole.local_data(clients.tolist())
        parts = []
        # As many images at once as a local step has, which is what the chunk was planned by.
        for few in torch.arange(data.mask.shape[1]).split(training.batch_size):
            batch = replace(
                data, plain=data.plain[:, few], labels=data.labels[:, few], mask=data.mask[:, few]
            ).everything()
            asked = replace(batch, fixed=models.fixed, training=False, labels=None)
            logits = federation.method.logits(models.params, text, asked, federation.task)
            parts.append(_odds(logits, batch))
        for own, there in zip(torch.cat(parts, dim=1), data.mask, strict=True):
            yield own[there].double().cpu().numpy()

    found: list[NDArray[np.float64]] = []
    for attempt in in_chunks(federation.taking_part, chunk):
        with attempt:
            found += list(of(attempt.clients))
    return np.concatenate(found)


def _odds(logits: Tensor, batch: Batch) -> Tensor:
    """[C, B]: log p - log(1 - p) of the label's probability p. logits: [C, B, K]."""
    assert batch.labels is not None
    if batch.class_mask is not None:
        logits = logits.masked_fill(~batch.class_mask[:, None], float("-inf"))
    labels = batch.labels[..., None]
    own = logits.gather(-1, labels)[..., 0]
    others = logits.scatter(-1, labels, float("-inf"))
    return own - others.logsumexp(-1)

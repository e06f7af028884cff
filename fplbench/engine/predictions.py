"""The answers of a test, image by image, for those who ask for more than measures of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fplbench.dataset import IntArray
from fplbench.plugins.measure import Answers
from fplbench.records.predictions import ALONE, TOP, Predicted
from fplbench.scenario import NEW, TUNED, BoolArray


@dataclass(frozen=True)
class Answered:
    """N answers. client: ids. image: rows of the test split. Each [N]. top: [N, TOP], indices into
    the data set's classes, -1 where fewer compete. probability: [N, TOP], in float16."""

    client: IntArray
    image: IntArray
    top: IntArray
    probability: NDArray[np.float16]

    def part(self, which: BoolArray | IntArray) -> Answered:
        """Those named, or where `which` is true."""
        return Answered(*(getattr(self, each.name)[which] for each in fields(self)))


Sheet = tuple[str, Answered]
"""A question's name, and answers to it."""


def answered(
    answers: Answers, counts: Tensor, rows: Tensor, clients: IntArray, classes: IntArray
) -> Answered:
    """What is kept of answers to one question, of the images that count for it.

    counts, rows: [C, B]. clients: [C], their ids. classes: [K], of the exam.
    """
    logits = answers.logits
    # First what measures take for the answer: topk may choose another one of equal logits.
    first = answers.chosen.to(logits.device)[..., None]
    kept = min(TOP, logits.shape[-1])
    others = logits.scatter(-1, first, float("-inf")).topk(kept - 1)
    places = torch.cat([first, others.indices], -1)
    # Their values too: with fewer than TOP classes left, the first one comes again, at -inf.
    highest = torch.cat([logits.gather(-1, first), others.values], -1).float()
    shares = (highest - logits.float().logsumexp(-1, keepdim=True)).exp()
    which = counts.numpy()
    top = np.full((which.sum(), TOP), -1, dtype=np.int64)
    probability = np.zeros((which.sum(), TOP), dtype=np.float16)
    may = highest.isfinite().cpu().numpy()[which]  # a class left out has minus infinity
    top[:, :kept] = np.where(may, classes[places.cpu().numpy()[which]], -1)
    probability[:, :kept] = shares.cpu().numpy()[which]
    return Answered(clients[which.nonzero()[0]], rows.numpy()[which], top, probability)


class Predictions:
    """Those of one test, as they come: an exam and a chunk of clients at a time.

    labels: [M], of the test split. newcomers: ids of the clients that took no part in training.
    """

    def __init__(self, labels: IntArray, newcomers: Tensor) -> None:
        self._labels = np.asarray(labels)
        self._newcomers = newcomers.numpy()
        self._turns: list[tuple[list[Sheet], bool]] = []

    def add(self, sheets: list[Sheet], tuned: bool = False) -> None:
        """All answers of some clients in an exam. tuned: after new clients' own epochs."""
        self._turns.append((sheets, tuned))

    def all(self) -> Predicted:
        """Sorted, so that no chunk shows."""
        parts = [*self._parts()]
        names = sorted({name for name, _, _ in parts})
        none = np.zeros(0, dtype=np.int64)
        empty = Answered(none, none, np.zeros((0, TOP), np.int64), np.zeros((0, TOP), np.float16))
        every = [empty, *(part for _, _, part in parts)]
        found = Answered(
            *(np.concatenate([getattr(p, each.name) for p in every]) for each in fields(Answered))
        )
        many = [len(part.image) for _, _, part in parts]
        question = np.repeat(np.array([names.index(n) for n, _, _ in parts], np.int64), many)
        turn = np.repeat(np.array([turn for _, turn, _ in parts], np.int64), many)
        order = np.lexsort((found.image, turn, found.client, question))
        order = order[_earliest(question[order], found.client[order], turn[order])]
        found = found.part(order)
        return Predicted(
            questions=tuple(names),
            question=question[order],
            client=found.client,
            image=found.image,
            label=self._labels[found.image],
            top=found.top,
            probability=found.probability,
        )

    def _parts(self) -> Iterator[tuple[str, int, Answered]]:
        """Answers with the name of their question in the record, and their turn."""
        for turn, (sheets, tuned) in enumerate(self._turns):
            for question, each in sheets:
                new = np.isin(each.client, self._newcomers)
                named = ((TUNED, new),) if tuned else (("", ~new), (NEW, new))
                for prefix, which in named:
                    if which.any():
                        yield f"{prefix}{question}", turn, each.part(which)


def sat_by(clients: IntArray, alone: bool) -> IntArray:
    """[C]: the ids under which answers are kept. alone: of the shared prompt, nobody's."""
    return np.full_like(clients, ALONE) if alone else clients


def _earliest(question: IntArray, client: IntArray, turn: IntArray) -> BoolArray:
    """[N]: where an answer is of its client's first turn. A question may stand in several exams,
    and a client's number is then of the first that asks it. All sorted by the three."""
    if not len(turn):
        return np.zeros(0, dtype=bool)
    change = (np.diff(question) != 0) | (np.diff(client) != 0)
    group = np.concatenate([[0], np.cumsum(change)])
    first = turn[np.concatenate([[0], np.flatnonzero(change) + 1])]
    found: BoolArray = turn == first[group]
    return found

"""The exams of the scenarios: which test images count, and among which classes one chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fplbench.dataset import IntArray
from fplbench.scenario import Exam, Question
from fplbench.split.partition import padded


def class_exam(
    labels: IntArray,
    rows: IntArray,
    classes: IntArray,
    dealt: Sequence[IntArray],
    everything: str,
) -> Exam:
    """All clients answer the same rows; the questions differ in what counts and competes.

    labels: of the whole test split; rows: [R], the images of `classes`; dealt: each client's own
    classes; everything: the name of the question in which every row counts.
    """
    own_rows = np.stack([np.isin(labels[rows], own) for own in dealt])
    own_classes = np.stack([np.isin(classes, own) for own in dealt])
    return Exam(
        classes=classes,
        rows=np.tile(rows, (len(dealt), 1)),
        questions={
            "local": Question(own_rows),
            "local_own": Question(own_rows, own_classes),
            everything: Question(np.ones_like(own_rows)),
            "neighbor": Question(~own_rows),
        },
    )


def own_exam(question: str, classes: IntArray, rows: Sequence[IntArray]) -> Exam:
    """One question, in which each client's own rows count."""
    table = padded(rows)
    return Exam(classes, table, {question: Question(table >= 0)})


def shared_exam(classes: IntArray, rows: Mapping[str, IntArray]) -> Exam:
    """The exam of the shared prompt alone, C = 1. rows: what counts in each question."""
    every = np.unique(np.concatenate(list(rows.values())))
    questions = {name: Question(np.isin(every, counted)[None]) for name, counted in rows.items()}
    return Exam(classes, every[None], questions)


def domain_exam(
    domains: Sequence[str],
    classes: IntArray,
    tests: Mapping[int, IntArray],
    homes: Sequence[int],
    held_out: int | None,
) -> Exam:
    """Each client answers its domain's test images and, behind them, those of the held-out one.

    tests: the test rows of each domain; homes: each client's domain. `local` is the domain's whole
    test set even where several clients share it, so that it is the accuracy on that domain.
    """
    own = padded([tests[home] for home in homes])
    away = np.empty(0, dtype=np.int64) if held_out is None else tests[held_out]
    table = np.concatenate([own, np.tile(away, (len(homes), 1))], axis=1)
    counts = (table >= 0) & (np.arange(table.shape[1]) < own.shape[1])
    questions = {"local": Question(counts)}
    for home in dict.fromkeys(homes):
        here = np.array(homes) == home
        questions[f"domain/{domains[home]}"] = Question(counts & here[:, None])
    if held_out is not None:
        questions["hold_out"] = Question((table >= 0) & ~counts)
    return Exam(classes, table, questions)


def shared_domain_rows(
    domains: Sequence[str], tests: Mapping[int, IntArray], held_out: int | None
) -> dict[str, IntArray]:
    """What the shared prompt is asked: the domains trained on, together and one by one."""
    seen = {index: rows for index, rows in tests.items() if index != held_out}
    rows = {"global": np.concatenate(list(seen.values()))}
    rows |= {f"global/{domains[index]}": own for index, own in seen.items()}
    return rows if held_out is None else rows | {"global_hold_out": tests[held_out]}

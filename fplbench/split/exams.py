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
    away: Mapping[str, IntArray],
) -> Exam:
    """Each client answers its domain's test images and, behind them, those of domains that nobody
    trains on.

    tests: the test rows of each domain; homes: each client's domain; away: the rows of each further
    question, which every client is asked. `local` is the domain's whole test set even where several
    clients share it, so that it is the accuracy on that domain.
    """
    parts = [padded([tests[home] for home in homes])]
    parts += [np.tile(rows, (len(homes), 1)) for rows in away.values()]
    table = np.concatenate(parts, axis=1)
    part = np.repeat(np.arange(len(parts)), [each.shape[1] for each in parts])
    counts = (table >= 0) & (part == 0)
    questions = {"local": Question(counts)}
    for home in dict.fromkeys(homes):
        here = np.array(homes) == home
        questions[f"domain/{domains[home]}"] = Question(counts & here[:, None])
    for number, name in enumerate(away, 1):
        questions[name] = Question((table >= 0) & (part == number))
    return Exam(classes, table, questions)


def shared_domain_rows(
    domains: Sequence[str], tests: Mapping[int, IntArray], away: Mapping[str, IntArray]
) -> dict[str, IntArray]:
    """What the shared prompt is asked: the domains trained on, together and one by one, and those
    that nobody trains on. tests: of the domains trained on; away: as in `domain_exam`."""
    rows = {"global": np.concatenate(list(tests.values()))}
    rows |= {f"global/{domains[index]}": own for index, own in tests.items()}
    return rows | {f"global_{name}": own for name, own in away.items()}

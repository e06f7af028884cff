"""Whether a scenario's clients are what the engine takes them for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fplbench.dataset import Data, IntArray
from fplbench.scenario import Clients, Exam


def faults(clients: Clients, data: Data) -> Iterator[str]:
    """What breaks the contract of Scenario.build, a sentence's end each; nothing if it is kept."""
    count, images = len(clients.train_rows), len(data.train.labels)
    if count == 0:
        yield "there is no client"
        return
    if len(clients.client_names) != count or len(set(clients.client_names)) != count:
        yield f"{count} clients need as many names, each another one"
    for client, rows in enumerate(clients.train_rows):
        if len(rows) == 0:
            yield f"client {client} has no training images"
    every = np.concatenate(clients.train_rows)
    if not _within(every, images):
        yield f"training rows must be from 0 to {images - 1}"
        return
    if len(np.unique(every)) < len(every):
        yield "a training image is dealt twice"
    if not np.isin(data.train.labels[every], clients.train_classes).all():
        yield "a client has training images of a class that is not in train_classes"
    told = clients.labels(data)
    if len(told) != images or not np.isin(told[every], clients.train_classes).all():
        yield "train_labels must be [M], of classes in train_classes"
    shape = (count, len(clients.train_classes))
    if clients.class_mask is not None and clients.class_mask.shape != shape:
        yield f"class_mask must have the shape {list(shape)}"
    for exam in clients.exams:
        yield from _of_exam(exam, count, data)
    for exam in clients.shared_exams:
        yield from _of_exam(exam, 1, data)


def _of_exam(exam: Exam, count: int, data: Data) -> Iterator[str]:
    names = ", ".join(exam.questions)
    asked = exam.rows[exam.rows >= 0]
    if exam.rows.ndim != 2 or len(exam.rows) != count:
        yield f"the exam of {names} must have {count} rows, one a client"
        return
    if not _within(asked, len(data.test.labels)):
        last = len(data.test.labels) - 1
        yield f"the rows of the exam of {names} must be from 0 to {last}, or -1"
        return
    for name, question in exam.questions.items():
        if question.counts.shape != exam.rows.shape:
            yield f"{name}: counts must have the shape of its exam's rows"
            continue
        counted = exam.rows[question.counts]
        if (counted < 0).any():
            yield f"{name}: a row that is not there counts"
        elif not np.isin(data.test.labels[counted], exam.classes).all():
            yield f"{name}: an image counts whose class is not in the exam's classes"
        shape = (count, len(exam.classes))
        if question.class_mask is not None and question.class_mask.shape != shape:
            yield f"{name}: class_mask must have the shape {list(shape)}"


def _within(rows: IntArray, count: int) -> bool:
    return bool(((rows >= 0) & (rows < count)).all())

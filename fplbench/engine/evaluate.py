"""Exams: what every client answers, and the shared prompt alone, graded by each measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fplbench.dataset import IntArray
from fplbench.engine import alike, newcomers
from fplbench.engine.chunks import Chunk, images_at_once, in_chunks
from fplbench.engine.federation import Federation, Models, gather
from fplbench.engine.predictions import Predictions, Sheet, answered, sat_by
from fplbench.engine.train import by_falling_steps, train_locally
from fplbench.errors import Diverged, UserError
from fplbench.features.images import Images
from fplbench.method import Batch, Task
from fplbench.metrics.accuracy import Accuracy
from fplbench.plugins.measure import DEFAULT, Answers, Measure, Sums, metric
from fplbench.scenario import Exam, Question
from fplbench.spec import Training

Accuracies = dict[str, NDArray[np.float64]]
"""Metric -> each client's number, [C]; nan where a client has none."""
ALONE = (Accuracy(),)


@dataclass(frozen=True)
class _Paper:
    """An exam as it is put to clients after a round. asked: the questions that the method
    supports. chunk: of clients; how many of their images fit follows from it. predictions: takes
    the answers; tuned: whether they are new clients', after epochs of their own."""

    federation: Federation
    task: Task
    exam: Exam
    asked: dict[str, Question]
    measures: Sequence[Measure]
    test: Images
    index: int
    chunk: Chunk
    predictions: Predictions | None
    tuned: bool = False


def evaluate(
    federation: Federation,
    test: Images,
    index: int,
    chunk: Chunk,
    training: Training | None = None,
    measures: Sequence[Measure] = ALONE,
    predictions: Predictions | None = None,
) -> Accuracies:
    """Each measure of each question that is put to the clients; those of accuracy bear the
    question's name, the others "QUESTION.MEASURE".

    Questions the method does not support are absent. Those of the shared prompt alone are [1].
    index: the round whose downloads the clients would start from. training: for clients that
    train before a test. predictions: takes the answers themselves.
    """
    found: Accuracies = {}
    _refuse_ambiguous(federation, measures)
    for exam in federation.scenario.exams:
        task = federation.task_for(exam.classes)
        asked = _supported(federation, task, exam)
        if asked:
            paper = _Paper(federation, task, exam, asked, measures, test, index, chunk, predictions)
            found = _beside(found, _of_clients(paper, training))
    alone = federation.shared_model()
    single = [measure for measure in measures if not measure.across]
    for exam in federation.scenario.shared_exams if alone is not None else ():
        task = federation.task_for(exam.classes)
        asked = _supported(federation, task, exam)
        if asked and alone is not None:
            paper = _Paper(federation, task, exam, asked, single, test, index, chunk, predictions)
            found |= _grade(paper, alone, np.zeros(1, dtype=np.int64))
    return found


def not_applicable(federation: Federation) -> dict[str, str]:
    """The metrics this method has no number for, each with the reason."""
    title = federation.method.label
    missing: dict[str, str] = {}
    for exam in (*federation.scenario.exams, *federation.scenario.shared_exams):
        task = federation.task_for(exam.classes)
        asked = _supported(federation, task, exam)
        missing |= {
            name: f"{title} does not support it" for name in exam.questions if name not in asked
        }
    if federation.shared_model() is None:
        missing |= {
            name: f"{title} has no shared prompt that is a model of its own"
            for exam in federation.scenario.shared_exams
            for name in exam.questions
        }
    return missing


def _refuse_ambiguous(federation: Federation, measures: Sequence[Measure]) -> None:
    """A domain may be called anything, but not so that its accuracy reads as another measure."""
    for exam in (*federation.scenario.exams, *federation.scenario.shared_exams):
        for name in exam.questions:
            for measure in measures:
                if measure.name != DEFAULT and name.endswith(metric("", measure.name)):
                    raise UserError(
                        f"The question {name!r} ends like the measure {measure.name}: give its "
                        "domain another name."
                    )


def _supported(federation: Federation, task: Task, exam: Exam) -> dict[str, Question]:
    return {
        name: question
        for name, question in exam.questions.items()
        if federation.method.supports(task, name, federation.task)
    }


def _of_clients(paper: _Paper, training: Training | None) -> Accuracies:
    """Every client's number for each question and measure; new clients' apart, and once more
    after epochs of their own."""
    federation, new = paper.federation, paper.federation.newcomers
    found = _examine(paper, training, federation.method.test_epochs)
    if not len(new):
        return found
    if training is None:
        raise ValueError("new clients train before a test: say how")
    newcomers.refuse_ambiguous(paper.asked)
    again = replace(paper, tuned=True)
    later = _examine(again, training, training.new_client_epochs, new)
    return newcomers.parted(found, later, new)


def _beside(found: Accuracies, more: Accuracies) -> Accuracies:
    """A question may stand in several exams, each for other clients."""
    both = {n: np.where(np.isnan(found[n]), more[n], found[n]) for n in found.keys() & more.keys()}
    return found | more | both


def _examine(
    paper: _Paper,
    training: Training | None,
    epochs: int,
    clients: Tensor | None = None,
) -> Accuracies:
    """Each client's number for each question and measure, after so many local epochs; nan for
    those who have no image in this exam, are not tested, or are not among `clients`."""

    def grade(some: Tensor) -> Accuracies:
        models = models_tested(paper.federation, some, paper.index, training, epochs)
        return _grade(paper, models, some.numpy())

    sit = torch.from_numpy((paper.exam.rows >= 0).any(1))
    sit &= torch.isin(torch.arange(len(sit)), paper.federation.tested)
    if clients is not None:
        sit &= torch.isin(torch.arange(len(sit)), clients)
    names = [metric(name, each.name) for each in paper.measures for name in paper.asked]
    found = {name: np.full(len(sit), np.nan) for name in names}
    for attempt in in_chunks(sit.nonzero()[:, 0], paper.chunk):
        with attempt:
            for name, values in grade(attempt.clients).items():
                found[name][attempt.clients.numpy()] = values
    return found


def models_tested(
    federation: Federation, clients: Tensor, index: int, training: Training | None, epochs: int
) -> Models:
    """What the clients are tested with: what they start from, or come to from there."""
    if not epochs or not federation.trained:
        data = federation.local_data(clients.tolist())
        return federation.models(federation.round_of(clients, index), data, tested=True)
    if training is None:
        raise ValueError(f"{federation.method.label} trains before a test: say how")
    order = by_falling_steps(federation, clients, training)
    models, _ = train_locally(federation, training, federation.round_of(order, index), epochs)
    back = torch.argsort(order).to(federation.device)
    params, fixed = (
        {name: t[back] for name, t in each.items()} for each in (models.params, models.fixed)
    )
    return replace(models, params=params, fixed=fixed)


@torch.no_grad()
def _grade(paper: _Paper, models: Models, clients: IntArray) -> Accuracies:
    """The numbers of these clients, [C], for each question and measure; the text is encoded
    once, and no image's logits are kept. Answers are handed over at the end: where memory is short
    before, the same clients are asked again."""
    exam, asked, measures = paper.exam, paper.asked, paper.measures
    rows = torch.from_numpy(exam.rows[clients])
    labels = _positions(exam, paper.test)[rows.clamp(min=0)]
    answer = _asking(paper, models, rows, clients)
    width = _images_at_once(paper, answer, rows)
    sums: dict[tuple[str, str], Sums] = {}
    sheets: list[Sheet] = []
    ids = sat_by(clients, models.alone)
    for first in range(0, rows.shape[1], width):
        part = slice(first, first + width)
        logits = answer(part)
        answers = _answers(logits, labels[:, part], asked, clients)
        for name, question in asked.items():
            counts = torch.from_numpy(question.counts[clients][:, part])
            for measure in measures:
                new = measure.sums(answers[name], counts)
                old = sums.get((name, measure.name))
                sums[name, measure.name] = new if old is None else _added(old, new)
            if paper.predictions is not None:
                kept = answered(answers[name], counts, rows[:, part], ids, exam.classes)
                sheets.append((name, kept))
    if paper.predictions is not None:
        paper.predictions.add(sheets, paper.tuned)
    return {
        metric(name, measure.name): _values(measure, sums.get((name, measure.name)), len(rows))
        for measure in measures
        for name in asked
    }


def _asking(
    paper: _Paper, models: Models, rows: Tensor, clients: IntArray
) -> Callable[[slice], Tensor]:
    """What gives the logits, [C, B, K], of some of the images in rows [C, ...]. Where all clients
    have one model, it answers for them, and each image is put to it once."""
    method, task = paper.federation.method, paper.task
    one = alike.one_of(models)
    text = method.encode((one or models).params, task)

    def answer(part: slice) -> Tensor:
        here = rows[:, part]
        if one is None:
            logits = method.logits(models.params, text, _batch(paper, here, models), task)
        else:
            each, place = here.unique(return_inverse=True)
            logits = method.logits(one.params, text, _batch(paper, each[None], one), task)
            logits = logits[0, place.to(logits.device)]
        _refuse_infinite(logits, here >= 0, paper.index, None if models.alone else clients)
        return logits

    return answer


def _images_at_once(paper: _Paper, answer: Callable[[slice], Tensor], rows: Tensor) -> int:
    """How many columns of rows [C, B] are answered in one go."""
    if rows.shape[1] < 2:
        return 1
    test = paper.test
    patches = max(1 if t is None else t.shape[1] for t in (test.patches, test.embedded))
    # Where one model answers for all clients, a column takes what its different images take.
    widest = int(alike.distinct(rows).argmax())
    elements = len(rows) * len(paper.exam.classes) * patches
    return images_at_once(
        lambda: answer(slice(widest, widest + 1)), elements, paper.federation.device, paper.chunk
    )


def _batch(paper: _Paper, rows: Tensor, models: Models) -> Batch:
    """Test images of clients, by rows [C, B]; -1 where a client has none."""
    device, there = paper.federation.device, rows.clamp(min=0)

    def read(kind: Tensor | None) -> Tensor | None:
        return None if kind is None else gather(kind, there, device)

    return Batch(
        mask=(rows >= 0).to(device),
        pooled=gather(paper.test.pooled, there, device),
        patches=read(paper.test.patches),
        embedded=read(paper.test.embedded),
        norms=read(paper.test.norms),
        fixed=models.fixed,
        training=False,
        trained_on=paper.federation.task.classnames,
    )


def _added(one: Sums, other: Sums) -> Sums:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _values(measure: Measure, sums: Sums | None, clients: int) -> NDArray[np.float64]:
    """A measure's numbers, [C], held to its contract. sums: None where no client has an image."""
    if sums is None:
        return np.full(clients, np.nan)
    values = measure.value(sums).double().numpy()
    if values.shape != (clients,) or np.isinf(values).any():
        raise ValueError(
            f"The measure {measure.name} gave {values} for {clients} clients: `value` must give a "
            "finite number for each, or nan for one without images."
        )
    return values


def _refuse_infinite(logits: Tensor, mask: Tensor, index: int, clients: IntArray | None) -> None:
    """A logit that is not finite would silently become a wrong answer. clients: of the rows."""
    if bool(logits.sum().isfinite()):  # as no sum is with such a logit; a tenth of the time
        return
    broken = ~logits.isfinite().all(-1) & mask.to(logits.device)
    if bool(broken.any()):
        row = int(broken.any(1).int().argmax())
        raise Diverged(index, None if clients is None else int(clients[row]), "a logit")


def _answers(
    logits: Tensor, labels: Tensor, asked: dict[str, Question], clients: IntArray
) -> dict[str, Answers]:
    """The answers to each question; questions with the same classes share theirs, and what is
    computed of them. logits: [C, B, K], labels: [C, B]."""
    labels = labels.clamp(min=0)  # an image of no class of the exam does not count
    among_all = Answers(logits, labels)
    found: dict[str, Answers] = {}
    for name, question in asked.items():
        found[name] = among_all
        if question.class_mask is not None:
            mask = torch.from_numpy(question.class_mask[clients]).to(logits.device)
            found[name] = Answers(logits.masked_fill(~mask[:, None], float("-inf")), labels)
    return found


def _positions(exam: Exam, test: Images) -> Tensor:
    """[M]: each test image's label within the exam's class list, -1 outside it."""
    position = torch.full((int(max(test.labels.max(), exam.classes.max())) + 1,), -1)
    position[torch.from_numpy(exam.classes)] = torch.arange(len(exam.classes))
    return position[torch.from_numpy(np.asarray(test.labels))]

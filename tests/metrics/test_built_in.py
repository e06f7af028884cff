"""Each built-in measure against another's formula of it, on answers in batches."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from fplbench.metrics.accuracy import Accuracy
from fplbench.metrics.ece import BINS, Calibration
from fplbench.metrics.f1 import MacroF1
from fplbench.metrics.worst import Worst
from fplbench.plugins.measure import Answers, Measure

NAN = float("nan")


@dataclass
class Drawn:
    """logits: [C, B, K]; labels, counts: [C, B]."""

    logits: torch.Tensor
    labels: torch.Tensor
    counts: torch.Tensor

    def measured(self, measure: Measure, width: int = 1000) -> np.ndarray:
        """The measure's number of each client, from batches of `width` images."""
        parts = [
            measure.sums(
                Answers(self.logits[:, part], self.labels[:, part]),
                self.counts[:, part],
            )
            for part in (slice(i, i + width) for i in range(0, self.labels.shape[1], width))
        ]
        return measure.value(tuple(sum(each) for each in zip(*parts, strict=True))).numpy()

    def of(self, client: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A client's labels, answers and confidences, of the images that count."""
        here = self.counts[client]
        probabilities = self.logits[client].softmax(-1)
        confidence, answers = probabilities.max(-1)
        return tuple(x[here].numpy() for x in (self.labels[client], answers, confidence))


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    """Of sure and unsure clients alike; some have few images that count, or none."""
    g = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    clients, images, classes = (draw(st.integers(1, most)) for most in (3, 40, 6))
    logits = g.normal(0, draw(st.sampled_from([0.1, 1.0, 10.0])), (clients, images, classes))
    return Drawn(
        torch.from_numpy(logits).float(),
        torch.from_numpy(g.integers(0, classes, (clients, images))),
        torch.from_numpy(g.random((clients, images)) < draw(st.sampled_from([0.0, 0.3, 1.0]))),
    )


@given(drawn())
def test_accuracy_is_sklearns(some: Drawn) -> None:
    for client, value in enumerate(some.measured(Accuracy(), 7)):
        labels, answers, _ = some.of(client)
        wanted = 100 * accuracy_score(labels, answers) if len(labels) else NAN
        assert value == pytest.approx(wanted, nan_ok=True)


@given(drawn())
def test_macro_f1_is_sklearns(some: Drawn) -> None:
    for client, value in enumerate(some.measured(MacroF1(), 7)):
        labels, answers, _ = some.of(client)
        wanted = 100 * f1_score(labels, answers, average="macro") if len(labels) else NAN
        assert value == pytest.approx(wanted, nan_ok=True)


def plain_ece(labels: np.ndarray, answers: np.ndarray, confidence: np.ndarray) -> float:
    """Guo et al. (ICML 2017), equation 3, bin by bin."""
    error = 0.0
    for low, high in itertools.pairwise(np.linspace(0, 1, BINS + 1)):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            gap = (answers == labels)[inside].mean() - confidence[inside].mean()
            error += abs(gap) * inside.mean()
    return 100 * error


@given(drawn())
def test_the_calibration_error_is_that_of_a_plain_loop(some: Drawn) -> None:
    for client, value in enumerate(some.measured(Calibration(), 7)):
        labels, answers, confidence = some.of(client)
        places = confidence.astype(np.float64) * BINS
        on_edges = places[np.abs(places - places.round()) < 1e-5].round()
        assume(set(on_edges) <= {BINS})  # a confidence on an edge may fall into either bin
        wanted = plain_ece(labels, answers, confidence.astype(np.float64)) if len(labels) else NAN
        assert value == pytest.approx(wanted, abs=1e-4, nan_ok=True)


@given(drawn())
def test_batches_change_no_number(some: Drawn) -> None:
    for measure in (Accuracy(), Worst(), MacroF1(), Calibration()):
        whole, cut = some.measured(measure), some.measured(measure, 3)
        assert cut == pytest.approx(whole, nan_ok=True)


def sure(labels: list[int], answers: list[int], confidence: float = 1 - 1e-6) -> Drawn:
    """One client that answers so, among three classes."""
    rest = np.log((1 - confidence) / 2)
    logits = torch.full((1, len(labels), 3), float(rest))
    logits[0, torch.arange(len(labels)), torch.tensor(answers, dtype=torch.long)] = float(
        np.log(confidence)
    )
    shape = (1, len(labels))
    return Drawn(
        logits,
        torch.tensor(labels, dtype=torch.long).reshape(shape),
        torch.ones(shape, dtype=torch.bool),
    )


def test_a_client_of_one_class() -> None:
    right, wrong = sure([1] * 4, [1] * 4), sure([1] * 4, [1, 1, 0, 0])
    assert right.measured(MacroF1()) == pytest.approx([100.0])
    # Class 1: 2 of 4 found, none falsely: 2/3. Class 0, answered falsely: 0.
    assert wrong.measured(MacroF1()) == pytest.approx([100 / 3])


def test_a_client_that_is_wrong_throughout() -> None:
    wrong = sure([0, 1, 2], [1, 2, 0])
    assert wrong.measured(Accuracy()) == [0.0]
    assert wrong.measured(MacroF1()) == [0.0]
    assert wrong.measured(Calibration()) == pytest.approx([100.0], abs=1e-3)


def test_a_client_that_knows_what_it_does_not_know_is_calibrated() -> None:
    """Right in every second answer, and half sure of each."""
    half = sure([0, 1, 2, 0], [0, 1, 0, 1], confidence=0.5)
    assert half.measured(Calibration()) == pytest.approx([0.0], abs=1e-4)


def test_a_client_without_images_has_no_number() -> None:
    none = sure([0, 1], [0, 1])
    none.counts[:] = False
    for measure in (Accuracy(), Worst(), MacroF1(), Calibration()):
        assert np.isnan(none.measured(measure)).all()


def test_what_does_not_count_may_be_anything() -> None:
    for measure in (Accuracy(), MacroF1(), Calibration()):
        some = sure([0, 1, 2, 0], [0, 1, 0, 1])
        some.counts[0, 3] = False
        before = some.measured(measure)
        some.logits[0, 3] = NAN
        assert some.measured(measure) == pytest.approx(before)


def test_a_class_that_may_not_be_answered_is_no_doubt() -> None:
    logits = torch.tensor([[[1.0, 1.0, float("-inf")]]])
    answers = Answers(logits, torch.tensor([[0]]))
    assert answers.confidence.item() == pytest.approx(0.5)
    assert answers.probabilities[0, 0].tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_the_worst_client_is_the_lowest_accuracy() -> None:
    assert Worst().over(np.array([80.0, 20.0, 60.0])) == 20.0

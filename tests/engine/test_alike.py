"""Clients with one model: what it answers for all of them, and who has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_federation import Make, images

from fplbench.engine import alike
from fplbench.engine.chunks import Chunk
from fplbench.engine.evaluate import evaluate
from fplbench.engine.federation import Federation, Models
from fplbench.method import Batch
from fplbench.plugins import registry

METHODS = registry.methods()
TEST = images(12, seed=2)
MEASURES = [cls() for cls in registry.metrics().classes.values()]


def graded(fed: Federation, monkeypatch: pytest.MonkeyPatch) -> tuple[dict, list[torch.Tensor]]:
    """The numbers of an evaluation, and the logits that they are of."""
    seen: list[torch.Tensor] = []
    method = type(fed.method)

    def noted(self: object, params: dict, text: dict, batch: Batch, task: object) -> torch.Tensor:
        found = method.logits(self, params, text, batch, task)  # type: ignore[arg-type]
        seen.append(found)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(fed, "method", type(f"Noted{method.__name__}", (method,), {"logits": noted})(
            fed.method.config
        ))  # fmt: skip
        return evaluate(fed, TEST, 1, Chunk(3), measures=MEASURES), seen


@pytest.mark.parametrize("name", METHODS.classes)
def test_one_model_answers_for_all_as_each_would(
    name: str, federation: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All clients start alike, whatever they come to later."""
    cls = METHODS.get(name)
    fed = federation(cls(cls.Config()))
    # Clients are asked the same images in another order, and one not all of them.
    rows = fed.scenario.exams[0].rows.copy()
    rows[1], rows[2, -3:] = rows[1, ::-1], -1
    exam = replace(fed.scenario.exams[0], rows=rows)
    exam.questions["local"].counts[2, -3:] = False
    fed.scenario = replace(fed.scenario, exams=(exam,), shared_exams=())
    together, few = graded(fed, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(alike, "one_of", lambda models: None)
        apart, many = graded(fed, monkeypatch)
    assert {len(each) for each in many} <= {1, 3}
    assert together.keys() == apart.keys()
    for metric, values in apart.items():
        assert together[metric] == pytest.approx(values, abs=1e-3, nan_ok=True), metric
    last = many[-1]  # [3, 12, K]
    if few[-1].shape != last.shape:  # not those that remember their clients' images
        assert few[-1].shape[:2] == (1, 13)  # twelve, and the place of those not asked
        first = few[-1][:, 1:]
        assert torch.allclose(first[0], last[0], atol=1e-5 * float(last.abs().max()))
        assert torch.allclose(first[0], last[1].flip(0), atol=1e-5 * float(last.abs().max()))


def test_prompts_are_asked_once(federation: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = METHODS.get("maple")
    _, seen = graded(federation(cls(cls.Config(n_ctx=3))), monkeypatch)
    assert {each.shape[0] for each in seen} == {1}


def test_clients_that_differ_in_a_bit_have_no_model_together() -> None:
    params = {"ctx": torch.ones(3, 2, 4), "other": torch.zeros(3, 1)}
    models = Models(params, {"memory": torch.zeros(3, 5)}, 7)
    one = alike.one_of(models)
    assert one is not None
    assert {t.shape[0] for t in (*one.params.values(), *one.fixed.values())} == {1}
    for held in (params["other"], models.fixed["memory"]):
        held[2, 0] = 1e-30
        assert alike.one_of(models) is None
        held[2, 0] = 0
    assert alike.one_of(Models({}, {"memory": torch.zeros(3, 5)}, 0)) is None


@given(
    arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.integers(-1, 4))
)
def test_distinct_counts_each_columns_images(rows: np.ndarray) -> None:
    found = alike.distinct(torch.from_numpy(rows))
    assert found.tolist() == [len(set(column)) for column in rows.T.tolist()]

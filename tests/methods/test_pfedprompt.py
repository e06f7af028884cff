from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import random_clients as some
import torch
import torch.nn.functional as F
from command_line import call
from torch import Tensor
from torch.testing import assert_close

from fplbench.method import Batch, Method, Task

READINGS = [
    {"keys": keys, "features": features}
    for keys, features in itertools.product(("prototypes", "images"), ("spatial", "pooled"))
]
every_reading = pytest.mark.parametrize("reading", READINGS, ids=lambda r: " ".join(r.values()))


def answers(method: Method, batch: Batch, task: Task) -> Tensor:
    params = some.params(method, 3)
    return method.logits(params, method.encode(params, task), batch, task)


def with_memory(method: Method, batch: Batch, stored: Batch) -> Batch:
    return replace(batch, fixed=method.memory(some.task(), stored))


@every_reading
def test_with_weight_0_it_is_promptfl(reading: dict[str, str]) -> None:
    method, promptfl = some.method("pfedprompt", alpha=0, **reading), some.method("promptfl")
    stored, exam = some.batch(3, seed=1), some.batch(3, seed=2, training=False)
    found = answers(method, with_memory(method, exam, stored), some.task())
    assert torch.equal(found, answers(promptfl, exam, some.task()))


@every_reading
def test_its_prompt_is_trained_as_promptfls(reading: dict[str, str]) -> None:
    """A training image would find itself in the memory, and the prompt would learn nothing."""
    method, promptfl = some.method("pfedprompt", alpha=5, **reading), some.method("promptfl")
    params, batch = some.params(method, 3), some.batch(3)
    terms, grads = some.gradients(method, params, with_memory(method, batch, batch))
    expected_terms, expected = some.gradients(promptfl, params, batch)
    assert torch.equal(terms["ce"], expected_terms["ce"])
    assert torch.equal(grads["ctx"], expected["ctx"])


@every_reading
def test_the_memory_is_the_formula(reading: dict[str, str]) -> None:
    """One image, one key, one patch at a time."""
    alpha, beta = 0.7, 3.0
    method = some.method("pfedprompt", alpha=alpha, beta=beta, **reading)
    stored, exam = some.batch(3, seed=1), some.batch(3, images=2, seed=2, training=False)
    found = answers(method, with_memory(method, exam, stored), some.task())
    added = found - answers(method, exam, some.task())
    for c in range(3):
        own = range(int(stored.mask[c].sum()))
        assert stored.labels is not None
        labels = [int(stored.labels[c, s]) for s in own]
        seen = [features(stored, c, s, reading) for s in own]
        if reading["keys"] == "images":
            keys = [(F.normalize(x.mean(0), dim=0), k) for x, k in zip(seen, labels, strict=True)]
        else:
            keys = [(F.normalize(sum_of(seen, labels, k), dim=0), k) for k in sorted(set(labels))]
        for b in range(2):
            expected = torch.zeros(len(some.CLASSES))
            queries = features(exam, c, b, reading)
            for key, k in keys:
                each = [math.exp(-beta * (1 - float(q @ key))) for q in queries]
                expected[k] += alpha * sum(each) / len(each)
            assert_close(added[c, b], expected, rtol=1e-4, atol=1e-4)


def features(batch: Batch, client: int, image: int, reading: dict[str, str]) -> Tensor:
    """[M, D], or [1, D] of the pooled one."""
    if reading["features"] == "pooled":
        return batch.pooled[client, image][None]
    assert batch.patches is not None
    return batch.patches[client, image]


def sum_of(seen: list[Tensor], labels: list[int], k: int) -> Tensor:
    """[D]: over all features of a class's images."""
    return torch.stack([x.sum(0) for x, label in zip(seen, labels, strict=True) if label == k]).sum(
        0
    )


def test_pooled_images_are_read_as_before_to_the_bit() -> None:
    """Tip-Adapter's form, and the numbers of records made before there was a choice."""
    method = some.method("pfedprompt", keys="images", features="pooled")
    assert method.inputs == {"pooled"}
    stored, exam = some.batch(3, seed=1), some.batch(3, seed=2, training=False)
    found = answers(method, with_memory(method, exam, stored), some.task())
    affinity = torch.exp(-5.5 * (1 - exam.pooled @ stored.pooled.transpose(1, 2)))
    affinity = affinity.masked_fill(~stored.mask[:, None], 0)
    assert stored.labels is not None
    values = F.one_hot(stored.labels, len(some.CLASSES)).float()
    assert torch.equal(found, answers(method, exam, some.task()) + 1.0 * (affinity @ values))


def test_the_documented_reading_is_the_default() -> None:
    method = some.method("pfedprompt")
    assert (method.config.keys, method.config.features) == ("prototypes", "spatial")
    assert method.inputs == {"pooled", "patches"}
    assert method.step_inputs == {"pooled"}


def test_a_class_without_an_image_has_no_key() -> None:
    stored = some.batch(1, seed=1)
    stored = replace(stored, labels=torch.tensor([[3, 3, 1, 3]]))
    kept = some.method("pfedprompt").memory(some.task(), stored)
    assert kept["stored"].tolist() == [[False, True, False, True, False]]
    assert_close(kept["keys"].norm(dim=-1), kept["stored"].float())


@every_reading
def test_the_memory_knows_no_other_classes(reading: dict[str, str]) -> None:
    method = some.method("pfedprompt", **reading)
    stored, exam = some.batch(3, seed=1), some.batch(3, seed=2, training=False)
    novel = some.task(some.OTHER_CLASSES)
    found = answers(method, with_memory(method, exam, stored), novel)
    assert torch.equal(found, answers(method, exam, novel))


@every_reading
def test_labels_are_found_by_name_in_another_class_list(reading: dict[str, str]) -> None:
    method = some.method("pfedprompt", **reading)
    stored, exam = some.batch(3, seed=1), some.batch(3, seed=2, training=False)
    exam = with_memory(method, exam, stored)
    here = answers(method, exam, some.task())
    turned = answers(method, exam, some.task(some.CLASSES[::-1]))
    assert_close(turned.flip(-1), here, rtol=1e-5, atol=1e-5)


def test_patches_are_encoded_for_the_reading_that_asks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    command = ["run", "--methods", "pfedprompt", "--datasets", "digits", "--clients", "2"]
    command += ["--rounds", "1", "--local-epochs", "1", "--out", str(tmp_path / "out")]
    for reading, kinds in (("pooled", {"pooled"}), ("spatial", {"pooled", "patches-f16"})):
        code, _, error = call([*command, "--set", f"features={reading}"], monkeypatch, capsys)
        assert code == 0, error
        files = (tmp_path / "cache" / "features").glob("*.npy")
        assert {path.name.split(".")[-2] for path in files} == kinds

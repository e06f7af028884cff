"""FOCoOp's words, and what becomes of the gammas and of what they hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import random_clients as some
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from fplbench.engine.train import SGD, step_gradients
from fplbench.errors import UserError
from fplbench.method import Batch, Method, Tensors


def batch(clients: int) -> Batch:
    def generator(purpose: str, client: int, step: int) -> torch.Generator:
        return torch.Generator().manual_seed(client)

    return replace(some.batch(clients), clients=torch.arange(clients), generator=generator)


def started(method: Method, clients: int) -> Tensors:
    """The tensors that `init` gives, contexts of each client's own."""
    noise = torch.Generator().manual_seed(1)
    return {
        name: spec.value.expand(clients, *spec.value.shape)
        + (0.2 * torch.randn(clients, *spec.value.shape, generator=noise) if "ctx" in name else 0)
        for name, spec in method.init(some.task(), noise).items()
    }


def words(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "words.txt"
    path.write_text("\n".join(lines))
    return str(path)


def test_the_words_are_those_furthest_from_the_classes(tmp_path: Path) -> None:
    every = ["bird", "sphynx", "prince", "", "yellow", "forget me not", "wales", "bird"]
    method = some.method("focoop", words=words(tmp_path, *every), num_ood=2)
    free = ["bird", "prince", "yellow", "wales"]

    def seen(texts: list[str]) -> Tensor:
        return F.normalize(some.task().encode_texts([f"The nice {t}." for t in texts]), dim=-1)

    cosines = seen(free) @ seen([name.replace("_", " ") for name in some.CLASSES]).T
    wanted = cosines.sort(1).values[:, int(0.95 * 5)].argsort()[:2].sort().values
    candidates = method.candidates()  # type: ignore[attr-defined]
    chosen = [candidates[i] for i in method.init(some.task(), torch.Generator())["words"].value]
    assert chosen == [free[i] for i in wanted]


def test_too_few_words_are_said(tmp_path: Path) -> None:
    method = some.method("focoop", words=words(tmp_path, "cat", "bird"), num_ood=2)
    with pytest.raises(UserError, match=r"words\.txt has 1 words that name no class"):
        method.init(some.task(), torch.Generator())
    with pytest.raises(
        UserError, match=r"num_ood is 1000, but the list that comes with FOCoOp has"
    ):
        some.method("focoop", num_ood=1000).init(some.task(), torch.Generator())


def test_the_gammas_take_their_own_step_whatever_the_rate_is() -> None:
    method, given = some.method("focoop", num_ood=3), batch(2)
    params = started(method, 2)
    specs = method.init(some.task(), torch.Generator())
    trained = [name for name, spec in specs.items() if spec.trained]
    a, o = method.encode(params, some.task())["t"], method.others(params, some.task())  # type: ignore[attr-defined]
    _, grads = step_gradients(method, params, trained, given, some.task())
    eps = method.adversary(a.double(), o.double(), params["gamma"], given, some.task())  # type: ignore[attr-defined]
    radii = torch.stack([e.abs().mean((1, 2)) for e in eps], dim=1)
    moved = {name: value.clone() for name, value in params.items()}
    SGD.of(specs, 10.0, 0.9, 0.1).step(moved, grads)
    assert torch.equal(moved["gamma"], params["gamma"])
    assert not torch.equal(moved["ctx_ood"], params["ctx_ood"])
    after = method.after_step(moved, grads, given)["gamma"]
    assert_close(after, (10 - 0.005 * (10 - radii)).float())


def test_where_gamma_is_used_up_the_worst_image_counts_alone() -> None:
    """The published loss is 0 times infinity there."""
    method, given, task = some.method("focoop", num_ood=3), batch(2), some.task()
    params = started(method, 2) | {"gamma": torch.zeros(2, 2)}
    a, o = (
        t.double()
        for t in (method.encode(params, task)["t"], method.others(params, task))  # type: ignore[attr-defined]
    )
    eps = method.adversary(a, o, params["gamma"], given, task)  # type: ignore[attr-defined]
    ce, det = method.each(a + eps[0], o + eps[1], given, task)  # type: ignore[attr-defined]
    worst = (ce + det / 2).masked_fill(~given.mask, 0).amax(1)
    terms = method.losses(params, given, task)
    assert_close(terms["worst"], worst.float())
    assert torch.equal(terms["radius"], torch.zeros(2))


def test_its_own_penalty_holds_the_perturbation_of_what_is_no_class() -> None:
    given, task, far = batch(2), some.task(), {}
    for penalty in ("own", "published"):
        method = some.method("focoop", num_ood=3, penalty=penalty, iterations=8)
        params = started(method, 2)
        a, o = method.encode(params, task)["t"], method.others(params, task)  # type: ignore[attr-defined]
        _, eps = method.adversary(a, o, params["gamma"], given, task)  # type: ignore[attr-defined]
        far[penalty] = eps.norm(dim=-1).mean()
    assert far["own"] < 0.8 * far["published"]


def test_contexts_of_classes_say_nothing_about_others() -> None:
    own, one = some.method("focoop"), some.method("focoop", csc=False)
    other = some.task(some.OTHER_CLASSES)
    assert not own.supports(other, "novel", some.task())
    assert own.supports(some.task(), "base", some.task())
    assert one.supports(other, "novel", some.task())

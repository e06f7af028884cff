"""Several data sets in one federation: who holds what, and who is asked about what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from benches import workbench

from fplbench.dataset import Data
from fplbench.errors import UserError
from fplbench.features.stock import Workbench
from fplbench.grid.expand import expand
from fplbench.plugins import provenance, registry
from fplbench.plugins.written import swept
from fplbench.scenario import Clients
from fplbench.spec import Request
from fplbench.split.check import faults

THREE = "digits+shapes_domains+shapes"
FEDERATION = registry.scenarios().get("federation")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return workbench(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def three(bench: Workbench) -> Data:
    return bench.data(THREE)


def made(data: Data, **settings: object) -> Clients:
    return FEDERATION(FEDERATION.Config(**settings)).build(data, 0)


def test_data_sets_lie_one_behind_the_other(bench: Workbench, three: Data) -> None:
    parts = [bench.data(name) for name in THREE.split("+")]
    assert three.domains == tuple(THREE.split("+"))
    assert three.classnames == tuple(name for part in parts for name in part.classnames)
    assert len(three.train.images) == sum(len(part.train.images) for part in parts)
    row, first = len(parts[0].test.images) + 7, len(parts[0].classnames)
    assert three.test.labels[row] == parts[1].test.labels[7] + first
    for one, other in ((three.test.images[row], parts[1].test.images[7]),
                       (three.test.images[-1], parts[2].test.images[-1]),
                       (three.test.images[row : row + 1][0], parts[1].test.images[7])):  # fmt: skip
        assert np.array_equal(np.asarray(one), np.asarray(other))
    with pytest.raises(IndexError):
        three.test.images[len(three.test.images)]


def test_features_and_text_are_those_of_each_data_set(bench: Workbench, three: Data) -> None:
    inputs = frozenset({"pooled"})
    found = bench.images("tiny", THREE, "test", inputs)
    alone = [bench.images("tiny", name, "test", inputs) for name in three.domains]
    assert torch.equal(found.pooled, torch.cat([images.pooled for images in alone]))
    assert np.array_equal(found.labels, three.test.labels)
    text = bench.task_for("tiny", THREE)(np.arange(len(three.classnames))).clip_text_features
    own = [
        bench.task_for("tiny", name)(np.arange(len(bench.data(name).classnames)))
        for name in three.domains
    ]
    torch.testing.assert_close(text, torch.cat([task.clip_text_features for task in own]))


@pytest.mark.parametrize("among", ["own", "dataset", "all"])
def test_a_client_has_classes_of_one_data_set(three: Data, among: str) -> None:
    clients = made(three, classes_per_client=3, among=among, test_on="shapes_domains")
    assert list(faults(clients, three)) == []
    assert three.train.domains is not None
    labels, domains = three.train.labels, three.train.domains
    held = [np.unique(labels[rows]) for rows in clients.train_rows]
    assert len(np.concatenate(held)) == len(np.unique(np.concatenate(held)))
    assert {name.partition(" ")[0] for name in clients.client_names} == {"digits", "shapes"}
    for client, (rows, own) in enumerate(zip(clients.train_rows, held, strict=True)):
        (domain,) = np.unique(domains[rows])
        assert clients.client_names[client].startswith(three.domains[domain])
        assert 2 <= len(own) <= 3
        if among == "all":
            assert clients.class_mask is None
            continue
        assert clients.class_mask is not None
        heard = clients.train_classes[clients.class_mask[client]]
        base = np.intersect1d(clients.train_classes, labels[domains == domain])
        assert heard.tolist() == (own if among == "own" else base).tolist()


def test_what_is_asked_of_whom(three: Data) -> None:
    clients = made(three, classes_per_client=3, test_on="shapes_domains")
    total = len(clients.train_rows)
    homes = np.array([name.partition(" ")[0] for name in clients.client_names])
    asked = {
        name: question.counts.any(1)
        for exam in clients.exams
        for name, question in exam.questions.items()
        if "/" in name
    }
    assert asked.keys() == {
        f"{kind}/{name}" for kind in ("base", "novel") for name in ("digits", "shapes")
    } | {"transfer/shapes_domains"}
    for name, who in asked.items():
        kind, _, data_set = name.partition("/")
        assert (
            who.tolist() == (homes == data_set).tolist() if kind != "transfer" else [True] * total
        )
    never = np.concatenate([three.test.labels[e.rows[e.rows >= 0]] for e in clients.exams])
    assert set(never) == set(range(len(three.classnames)))
    trained = np.concatenate([three.train.labels[rows] for rows in clients.train_rows])
    assert not np.isin(trained, np.unique(three.train.labels[three.train.domains == 1])).any()


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("digits", {}, "NAME\\+OTHER"),
        ("shapes_domains", {}, "NAME\\+OTHER"),  # its domains share their classes
        (THREE, {"test_on": "eurosat"}, "which is none of digits, shapes_domains, shapes"),
        (THREE, {"test_on": THREE}, "leaves none to train on"),
    ],
)
def test_what_cannot_be_made_is_refused(
    bench: Workbench, name: str, settings: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        made(bench.data(name), **settings)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("digits+shap", "no data set 'shap'; did you mean 'shapes'"),
        ("digits+digits", "digits stands twice"),
    ],
)
def test_names_that_make_no_federation_are_refused(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        registry.datasets().get(name)


def test_its_code_is_that_of_every_data_set() -> None:
    both = registry.datasets().get("digits+shapes")
    alone = [provenance.hashes(registry.datasets().get(name)) for name in ("digits", "shapes")]
    assert provenance.hashes(both) == alone[0] | alone[1]
    assert "digits.py" in provenance.hashes(both)


def test_a_path_may_hold_a_plus(tmp_path: Path) -> None:
    (alone,) = [registry.datasets().get(f"folder:{tmp_path}/a+digits")]
    assert not alone.parts
    both = registry.datasets().get(f"digits+folder:{tmp_path}/a+b")
    assert [part.name for part in both.parts] == ["digits", f"folder:{tmp_path}/a+b"]
    with pytest.raises(UserError, match="no method is made of several"):
        registry.methods().get("coop+promptfl")


def test_all_classes_are_trained_on_where_nothing_is_novel(three: Data) -> None:
    clients = made(three, base="all", classes_per_client=10, test_on="digits+shapes_domains")
    assert clients.client_names == tuple(f"shapes {n}" for n in range(10))
    assert len(clients.train_classes) == 100
    asked = {name for exam in clients.exams for name in exam.questions}
    assert asked == {
        "local", "local_own", "base/shapes", "transfer/digits", "transfer/shapes_domains"
    }  # fmt: skip


def test_commas_name_several_data_sets_and_sweep_nothing(bench: Workbench, three: Data) -> None:
    wanted = {"test_on": swept("digits,shapes_domains"), "base": "all"}
    request = Request(methods=("zeroshot",), datasets=(THREE,), options=wanted)
    (cell,) = expand(request, bench)
    clients = bench.scenario(cell).build(three, 0)
    asked = {name for exam in clients.exams for name in exam.questions}
    assert {"transfer/digits", "transfer/shapes_domains"} <= asked


def test_an_exam_of_some_clients_leaves_the_others_without_a_number(three: Data) -> None:
    """The same question in two exams is one column."""
    clients = made(three, classes_per_client=3)
    local = [e.questions["local"].counts.any(1) for e in clients.exams if "local" in e.questions]
    assert len(local) == 3
    assert np.sum(local, axis=0).tolist() == [1] * len(clients.train_rows)

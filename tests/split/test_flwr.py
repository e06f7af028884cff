"""Partitioners of flwr-datasets, where it is installed, and one sentence where it is not."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from fplbench.dataset import Data
from fplbench.errors import UserError
from fplbench.plugins import registry
from fplbench.scenario import Scenario
from fplbench.split.check import faults

THERE = importlib.util.find_spec("flwr_datasets") is not None
with_it = pytest.mark.skipif(not THERE, reason="flwr-datasets is not installed")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return registry.datasets().get("digits")().load(None, tmp_path_factory.mktemp("cache"))


def scenario(partitioner: str, arguments: str = "{}") -> Scenario:
    cls = registry.scenarios().get(f"flwr:{partitioner}")
    return cls(cls.Config(clients=5, arguments=arguments))


@with_it
@pytest.mark.parametrize(
    ("partitioner", "arguments"),
    [
        ("DirichletPartitioner", '{"alpha": 0.3}'),
        ("IidPartitioner", "{}"),
        ("ShardPartitioner", '{"num_shards_per_partition": 2}'),
        ("InnerDirichletPartitioner", '{"alpha": 1, "partition_sizes": [900, 800, 97]}'),
    ],
)
def test_it_deals_both_splits(digits: Data, partitioner: str, arguments: str) -> None:
    made = scenario(partitioner, arguments).build(digits, 0)
    assert list(faults(made, digits)) == []
    trained = sum(map(len, made.train_rows))
    (exam,) = made.exams
    tested = exam.rows[exam.rows >= 0]
    left = len(digits.train.labels) + len(digits.test.labels) - trained - len(tested)
    assert len(np.unique(tested)) == len(tested)
    assert left < 10  # of shards that do not come out even
    same, other = (scenario(partitioner, arguments).build(digits, seed) for seed in (0, 1))
    assert [rows.tolist() for rows in same.train_rows] == [r.tolist() for r in made.train_rows]
    assert [rows.tolist() for rows in other.train_rows] != [r.tolist() for r in made.train_rows]


@with_it
@pytest.mark.parametrize(
    ("partitioner", "arguments", "sentence"),
    [
        ("Dirichlet", "{}", "no 'Dirichlet'; it has .*DirichletPartitioner"),
        ("DirichletPartitioner", "{}", "alpha"),
        ("DirichletPartitioner", '{"alpha":', "Expecting value"),
    ],
)
def test_what_it_cannot_do_is_said(
    digits: Data, partitioner: str, arguments: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        scenario(partitioner, arguments).build(digits, 0)


@pytest.mark.skipif(THERE, reason="flwr-datasets is installed")
def test_without_it_the_sentence_says_what_to_install(digits: Data) -> None:
    with pytest.raises(UserError, match="pip install flwr-datasets"):
        scenario("IidPartitioner").build(digits, 0)
    with pytest.raises(UserError, match="pip install flwr-datasets"):
        scenario("IidPartitioner").fingerprint()

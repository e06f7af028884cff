"""The protocol's version is honest: numbers do not move without a new one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import protocol_numbers
import pytest
from benches import workbench
from protocol_numbers import BUILT_IN, FILE, candidates, key, moved, splits, trained

from fplbench.features.stock import Workbench
from fplbench.spec import PROTOCOL

COMMITTED = json.loads(FILE.read_text())
HOW = "PYTHONPATH=tests/support python -m protocol_numbers"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return workbench(tmp_path_factory.mktemp("cache"), "pooled", "patches")


@pytest.mark.parametrize(("method", "variant"), candidates())
def test_a_small_cell_ends_where_this_version_says(
    method: str, variant: str, bench: Workbench
) -> None:
    name = key(method, variant)
    assert name in COMMITTED["methods"], f"no numbers of {name} are committed: run {HOW}"
    now = trained(bench, method, variant)
    assert not moved(COMMITTED["methods"][name], now), (
        f"{name} ends elsewhere than in protocol {COMMITTED['protocol']}: if it should, raise "
        f"PROTOCOL, write docs/protocol-history.md and run {HOW}"
    )


@pytest.mark.parametrize("scenario", BUILT_IN)
def test_a_scenario_deals_the_rows_that_this_version_says(scenario: str) -> None:
    assert scenario in COMMITTED["scenarios"], f"no rows of {scenario} are committed: run {HOW}"
    assert splits(scenario) == COMMITTED["scenarios"][scenario]


def test_the_numbers_are_of_the_weights_that_are_here(bench: Workbench) -> None:
    assert COMMITTED["weights"] == bench.backbone("tiny").fingerprint


def test_the_version_is_the_committed_one_and_has_its_history() -> None:
    assert COMMITTED["protocol"] == PROTOCOL
    history = (Path(__file__).parents[1] / "docs" / "protocol-history.md").read_text()
    assert [line for line in history.splitlines() if line.startswith("## ")] == [
        f"## {version}" for version in range(PROTOCOL, 0, -1)
    ]


def test_a_change_of_a_hundredth_of_the_step_size_shows(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the comparison is no test that cannot fail, for a shared and for a private tensor."""
    lr = protocol_numbers.SMALL["lr"]
    monkeypatch.setitem(protocol_numbers.SMALL, "lr", lr * 1.01)
    for method in ("promptfl", "coop"):
        (tensor,) = COMMITTED["methods"][method]
        assert moved(COMMITTED["methods"][method], trained(bench, method, "")) == [tensor]


def test_no_new_numbers_are_written_without_a_new_version(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the command is used, with one method alone."""
    file = tmp_path / "protocol.json"
    kept = COMMITTED | {"methods": {"coop": COMMITTED["methods"]["coop"]}}
    file.write_text(json.dumps(kept))
    monkeypatch.setattr(protocol_numbers, "FILE", file)
    monkeypatch.setattr(protocol_numbers, "candidates", lambda: [("coop", "")])
    monkeypatch.setattr(protocol_numbers, "workbench", lambda cache, *inputs: bench)
    protocol_numbers.main()
    assert json.loads(file.read_text()) == kept
    ((tensor, values),) = kept["methods"]["coop"].items()
    wrong = {tensor: (np.array(values) * 1.001).tolist()}
    file.write_text(json.dumps(kept | {"methods": {"coop": wrong}}))
    with pytest.raises(SystemExit, match="numbers of coop moved"):
        protocol_numbers.main()
    for older in ({"protocol": PROTOCOL - 1}, {"weights": "others"}):
        file.write_text(json.dumps(kept | {"methods": {"coop": wrong}} | older))
        protocol_numbers.main()
        written = json.loads(file.read_text())["methods"]["coop"]
        assert not moved(written, COMMITTED["methods"]["coop"])

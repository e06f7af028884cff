"""`fplbench attack`: a table and a file of how well membership is guessed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from command_line import call

Ran = Callable[..., str]


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
    """ran(options): the folder with small cells of PromptFL on digits."""
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    small = "--methods promptfl --datasets digits --clients 4 --shots 1 --rounds 1 --local-epochs 1"

    def run(*options: str) -> str:
        out = str(tmp_path / "out")
        assert call(["run", *small.split(), *options, "--out", out], monkeypatch, capsys)[0] == 0
        return out

    return run


def test_cells_are_attacked_and_epsilon_stands_beside(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ran("--strategies", "own,dp-fedavg", "--epsilon", "8")
    code, printed, _ = call(["attack", out, "--runs", "6"], monkeypatch, capsys)
    assert code == 0
    assert "AUC, likelihood" in printed
    assert "0.5 is chance" in printed
    table = pd.read_csv(tmp_path / "out" / "attack" / "membership.csv")
    assert table["federations"].tolist() == [6, 6]
    assert table["loss"].between(0, 1).all()
    assert table["likelihood"].between(0, 1).all()
    assert table["epsilon"].dropna().round().tolist() == [8]
    code, _, err = call(["attack", out, "--runs", "7"], monkeypatch, capsys)
    assert (code, "so it must be even" in err) == (2, True)
    code, _, err = call(["attack", out, "--methods", "coop"], monkeypatch, capsys)
    assert (code, "can be attacked: no finished cell" in err) == (2, True)


def test_cells_with_new_clients_are_refused(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each federation of an attack would draw others."""
    out = ran("--new-clients", "0.3")
    code, _, err = call(["attack", out, "--runs", "6"], monkeypatch, capsys)
    assert (code, "attack a cell without --new-clients" in " ".join(err.split())) == (2, True)

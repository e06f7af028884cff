"""All of the real CIFAR-10 as files, where the zip of them lies beside the repository."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest

from fplbench.cli.app import main

ZIP = Path(__file__).parents[3] / "shared" / "data" / "cifar10-images.zip"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ZIP.exists(), reason="the zip of CIFAR-10 is not beside the repository"),
]
HUNDRED = ["--clients", "100", "--alpha", "0.5", "--participation", "0.1"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    with zipfile.ZipFile(ZIP) as archive:
        archive.extractall(folder)
    return folder


def test_verify_counts_it_and_a_hundred_clients_train_on_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FPLBENCH_CACHE", str(root / "cache"))
    monkeypatch.setenv("FPLBENCH_DATA", str(root))
    monkeypatch.setattr(sys, "argv", ["fplbench", "data", "verify", "cifar10"])
    with pytest.raises(SystemExit) as ended:
        main()
    out, _ = capsys.readouterr()
    assert ended.value.code == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["training", "50,000", "10", "5,000"] in lines
    assert ["test", "10,000", "10", "1,000"] in lines
    assert "These are the published numbers." in out
    what = ["--methods", "promptfl", "--datasets", "cifar10", "--scenario", "personal"]
    how = ["--rounds", "2", "--local-epochs", "1", "--device", "cpu", "--out", str(root / "out")]
    monkeypatch.setattr(sys, "argv", ["fplbench", "run", *what, *HUNDRED, *how])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    (path,) = (root / "out").glob("*/record.json")
    record = json.loads(path.read_text())
    assert len(record["clients"]) == 100
    assert sum(record["train_sizes"]) == 50_000
    assert record["notes"] == []
    assert 0 < record["metrics"]["local"]["mean"] < 100

"""The docs' worked example is code that runs, and what they count is there."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import random_clients as some
import torch
from command_line import call
from environments import run

from fplbench.contract.exam import CHECKS, examine
from fplbench.plugins import registry
from fplbench.split.check import faults

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "adding-a-method.md"
SCENARIOS = ROOT / "docs" / "adding-a-scenario.md"
METRICS = ROOT / "docs" / "adding-a-metric.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of plug-ins that holds the page's example and nothing else."""
    return example(PAGE, tmp_path / "plugins", "fedper.py")


def example(page: Path, folder: Path, name: str) -> Path:
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1, "the page has one example"
    folder.mkdir()
    (folder / name).write_text(blocks[0])
    return folder


def test_the_example_keeps_the_contract(folder: Path) -> None:
    found = registry.methods([folder])
    assert not found.broken
    kind = found.get("fedper")
    method = kind(kind.Config(n_ctx=4, shared_part=0.25))
    specs = method.init(some.task(), torch.Generator())
    assert {name: (len(p.value), p.shared) for name, p in specs.items()} == {
        "shared": (1, True),
        "own": (3, False),
    }
    assert {verdict.outcome for verdict in examine(kind)} == {"passed", "n/a"}


def test_the_examples_command_runs(folder: Path, tmp_path: Path) -> None:
    what = ["--plugins", folder, "--methods", "fedper", "--datasets", "digits", "--seeds", "0"]
    how = ["--rounds", "1", "--clients", "3", "--out", tmp_path / "out"]
    cache = str(tmp_path / "cache")
    printed = run(
        Path(sys.executable),
        "-m",
        "fplbench",
        "run",
        *what,
        *how,
        cwd=tmp_path,
        FPLBENCH_CACHE=cache,
    )
    records = [json.loads(path.read_text()) for path in (tmp_path / "out").rglob("record.json")]
    assert [(r["method"], r["status"]) for r in records] == [("fedper", "done")], printed
    assert "local" in records[0]["metrics"]


def test_the_faults_are_as_many_as_is_said() -> None:
    protocol = (ROOT / "docs" / "protocol.md").read_text()
    rows = re.findall(r"^\| (\d+(?:, \d+)*) \|", protocol, re.MULTILINE)
    numbers = {number for row in rows for number in row.split(", ")}
    assert f"The table has {len(numbers)} of the 48 entries" in protocol
    assert f"goes through {len(numbers)} faults" in (ROOT / "README.md").read_text()


def test_the_page_lists_the_checks_of_the_exam() -> None:
    assert re.findall(
        r"^\| `(\w+)` \| (?:.*)$",
        PAGE.read_text().split("## The exam")[1].split("\n## ")[0],
        re.MULTILINE,
    ) == list(CHECKS)


def test_the_example_of_a_scenario_keeps_the_contract_and_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins = example(SCENARIOS, tmp_path / "plugins", "shards.py")
    found = registry.scenarios([plugins])
    assert not found.broken
    kind, data = found.get("shards"), registry.datasets().get("digits")().load(None, tmp_path)
    made = kind(kind.Config(clients=4, shards=2)).build(data, 0)
    assert list(faults(made, data)) == []
    assert max(len(np.unique(data.train.labels[rows])) for rows in made.train_rows) <= 4
    command = [
        "data",
        "partition",
        "digits",
        "--scenario",
        "shards",
        "--set",
        "shards=3",
        "--plugins",
    ]
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    code, out, _ = call(
        [*command, str(plugins), "--out", str(tmp_path / "a.png")], monkeypatch, capsys
    )
    assert (code, "10 clients" in out) == (0, True)
    refused = [*command[:-2], "shards=0", "--plugins", str(plugins)]
    code, _, err = call(refused, monkeypatch, capsys)
    (sentence,) = re.findall(r'"(shards is 0.*?)"', SCENARIOS.read_text())
    assert code == 2
    assert sentence in err


def test_the_example_of_a_metric_is_in_the_record_and_in_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing else is touched for it."""
    plugins, out = example(METRICS, tmp_path / "plugins", "brier.py"), tmp_path / "out"
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    what = ["--methods", "promptfl", "--datasets", "digits", "--clients", "3", "--shots", "2"]
    how = ["--rounds", "1", "--local-epochs", "1", "--seeds", "0,1", "--out", str(out)]
    assert call(["run", "--plugins", str(plugins), *what, *how], monkeypatch, capsys)[0] == 0
    found = [json.loads(path.read_text()) for path in out.rglob("record.json")]
    assert len(found) == 2
    for record in found:
        local = record["measured"]["brier"]["local"]
        assert 0 < local["mean"] < 2
        assert len(local["per_client"]) == 3
        assert local["worst"] == max(local["per_client"])
        assert record["measures"]["brier"]["lower_is_better"]
    # As anybody reads it who has no plug-in.
    code, _, _ = call(["tables", str(out), "--measure", "brier"], monkeypatch, capsys)
    text = (out / "tables" / "tables-brier.md").read_text()
    assert code == 0
    assert "Brier score after the last round on digits" in text
    assert re.search(r"\| PromptFL \| \**[01]\.\d{3}\** ± \d\.\d{3} \|", text)
    assert "Brier: Brier score, the squared distance" in text
    code, printed, _ = call(["list", "metrics", "--plugins", str(plugins)], monkeypatch, capsys)
    assert code == 0
    assert "brier" in printed


def test_the_files_that_pages_name_are_there() -> None:
    named = re.compile(
        r"\b(?:fplbench|tests|methods|datasets|docs)/[\w/]+\.(?:py|json|yaml|sh|md)\b"
    )
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    found = {name for page in pages for name in named.findall(page.read_text())}
    assert len(found) > 20
    assert [n for n in sorted(found) if not (ROOT / n).exists() and n != "methods/NAME.py"] == []

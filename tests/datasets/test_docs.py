"""docs/datasets.md states what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from facts import entry, on_disk, row
from pictures import class_tree

from fplbench.data.on_disk import OnDisk
from fplbench.data.prepare import prepared
from fplbench.plugins import registry

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"


@pytest.mark.parametrize("cls", on_disk(), ids=lambda cls: cls.name)
def test_the_page_states_the_facts_of_a_data_set(cls: type[OnDisk]) -> None:
    lines = PAGE.read_text().splitlines()
    assert row(cls) in lines
    assert entry(cls) in lines


def test_the_page_has_no_data_set_that_is_gone() -> None:
    lines = PAGE.read_text().splitlines()
    named = {line.split("`")[1] for line in lines if line.startswith("| `")}
    assert named == {cls.name for cls in on_disk()}


def test_the_pages_example_is_a_data_set(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "garden.py").write_text(block)
    found = registry.datasets([tmp_path / "plugins"])
    assert not found.broken
    garden = found.get("garden")
    reason = garden().missing(tmp_path)
    assert reason is not None
    assert "copy garden/ from the lab's disk" in reason
    class_tree(tmp_path / "garden" / "images", {"sea_lavender": 4, "thyme": 4})
    (tmp_path / "garden" / "test.txt").write_text("images/thyme/0.jpg\nimages/thyme/3.jpg\n")
    data = prepared(garden, tmp_path, tmp_path / "cache")
    assert data.classnames == ("sea lavender", "thyme")
    assert data.train.labels.tolist() == [0] * 4 + [1] * 2
    assert data.test.labels.tolist() == [1, 1]
    assert data.split_source == "test.txt"

"""docs/datasets.md states what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest
from facts import entry, on_disk, row

from fplbench.data.on_disk import OnDisk

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

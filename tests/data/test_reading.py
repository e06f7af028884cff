"""A data set's own code, when it breaks: a sentence about that data set."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin_texts import dataset_text

from fplbench.data.on_disk import fingerprint
from fplbench.data.prepare import prepared
from fplbench.data.reading import missing_of
from fplbench.data.splits import Entry, cut, from_entries
from fplbench.dataset import Dataset
from fplbench.errors import UserError
from fplbench.plugins import registry

BODY = 'return Data(("red", "blue"), split, split, ("a photo of a {}.",), "1", "made up")'


def of(tmp_path: Path, body: str, before: str = "") -> type[Dataset]:
    text = dataset_text()
    assert BODY in text
    text = text.replace(BODY, body)
    (tmp_path / "mine.py").write_text(text + before)
    return registry.datasets([tmp_path]).get("my_images")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return None", "breaks its contract: load returns a NoneType, not a Data"),
        ("raise KeyError('x')", r"cannot be read: KeyError: 'x' \(mine.py, line \d+\)"),
        (BODY.replace('("red", "blue")', '("red",)'), "training labels go from 0 to 1, and there"),
        (BODY.replace("a {}", "a"), "each of its templates must have one {}"),
    ],
)
def test_what_load_returns_is_looked_at(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(UserError, match=f"The data set my_images .*{said}"):
        prepared(of(tmp_path, body), None, tmp_path / "cache")


def test_one_that_cannot_be_asked_is_not_here(tmp_path: Path) -> None:
    broken = "\n    def missing(self, root):\n        raise OSError('away')\n"
    cls = of(tmp_path, BODY, broken)
    assert "my_images cannot be looked for: OSError: away" in str(missing_of(cls, None))
    (tmp_path / "whole").mkdir()
    assert missing_of(of(tmp_path / "whole", BODY), None) is None


def test_the_fingerprint_holds_labels_and_domains(tmp_path: Path) -> None:
    def made(labels: list[int], domains: list[int]) -> str:
        every = [
            Entry(f"{place}.png", *both)
            for place, both in enumerate(zip(labels, domains, strict=True))
        ]
        return fingerprint(
            from_entries(tmp_path, ["a", "b"], every, every, "ours", "x", ["p", "q"])
        )

    one = made([0, 1, 0, 1], [0, 0, 1, 1])
    assert one != made([1, 0, 0, 1], [0, 0, 1, 1])
    assert one != made([0, 1, 0, 1], [0, 1, 0, 1])


def test_our_split_is_cut_by_domain_and_not_by_the_order_of_files() -> None:
    two = [Entry(f"{home}/{place:02}.png", 0, home) for home in (0, 1) for place in range(20)]
    _, test = cut(two)
    places = [[entry.file[2:] for entry in test if entry.domain == home] for home in (0, 1)]
    assert places[0] != places[1]
    every = [Entry(f"{place:02}.png", place % 2) for place in range(20)]
    assert cut(every) == cut(every[::-1])

"""A data set's own code, when it breaks: a sentence about that data set."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin_texts import dataset_text

from fplbench.data.prepare import prepared
from fplbench.data.reading import missing_of
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

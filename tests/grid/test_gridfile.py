"""A grid in YAML: what it says, and all that is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from fplbench.errors import UserError
from fplbench.grid import gridfile

GRID = """
methods: [promptfl, fedpgp]
datasets: digits
seeds: [0, 1]
settings:
  rounds: 3
  alpha: [0.1, 0.5]
  lr: 1e-3
  fedpgp.mu: [0.5, 1]
"""


def grid(folder: Path, text: str) -> Path:
    path = folder / "grid.yaml"
    path.write_text(text)
    return path


def test_a_file_becomes_the_request_that_flags_make(tmp_path: Path) -> None:
    request = gridfile.request(gridfile.read(grid(tmp_path, GRID)), {}, {}, {})
    assert request.methods == ("promptfl", "fedpgp")
    assert (request.datasets, request.seeds, request.scenarios) == (("digits",), (0, 1), ())
    assert request.sets.keys() == {"rounds", "alpha", "lr", "fedpgp.mu"}
    assert (request.sets["fedpgp.mu"], request.options) == (["0.5", "1"], {})
    assert len(request.points()) == 4


def test_flags_take_the_files_place(tmp_path: Path) -> None:
    file = gridfile.read(grid(tmp_path, GRID))
    request = gridfile.request(file, {"seeds": (7,)}, {"alpha": 0.3}, {"fedpgp.mu": 2})
    assert request.seeds == (7,)
    assert request.options == {"alpha": 0.3}
    assert request.sets == {"rounds": "3", "lr": "1e-3", "fedpgp.mu": 2}
    assert len(request.points()) == 1


def test_all_mistakes_of_a_file_are_said_at_once(tmp_path: Path) -> None:
    text = "method: [a]\nseeds: [0, x]\ndatasets: []\nsettings:\n  fedpgp: {mu: 1}\n"
    with pytest.raises(UserError) as caught:
        gridfile.read(grid(tmp_path, text))
    for wanted in ("'method' is no key", "are no seeds", "are no names", "fedpgp.mu"):
        assert wanted in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("methods: [a\n", "is no YAML"),
        ("methods: a\nmethods: b\n", "there twice"),
        ("- a\n", "is no grid"),
        ("", "is no grid"),
        ("settings: 3\n", "no mapping"),
        ("seeds: yes\n", "are no seeds"),
    ],
)
def test_a_file_that_is_no_grid_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        gridfile.read(grid(tmp_path, text))
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml cannot be read"):
        gridfile.read(tmp_path / "nowhere.yaml")


def test_a_run_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--datasets NAMES"):
        gridfile.request(gridfile.read(grid(tmp_path, "methods: promptfl\n")), {}, {}, {})


def test_a_merge_key_stands_for_what_it_names(tmp_path: Path) -> None:
    text = "settings:\n  <<: {rounds: 3, lr: 0.2}\n  lr: 0.1\n"
    (tmp_path / "grid.yaml").write_text(text)
    assert gridfile.read(tmp_path / "grid.yaml") == {"settings": {"rounds": "3", "lr": "0.1"}}

"""docs/tutorial.md is a session that happened: its commands print what stands below them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from command_line import call

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
NUMBER = re.compile(r"\d+(?:\.\d+)?")
# Other processors round otherwise; `fplbench stability` moves none of the page's means by 0.01.
POINTS = 1.0
REST = "\0"


def session() -> Iterator[tuple[str, str]]:
    """Each command of the page with what it prints there."""
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.M):
        starts = [found.start() for found in re.finditer(r"^\$ ", block, re.MULTILINE)]
        for start, end in pairwise([*starts, len(block)]):
            command, _, printed = block[start + 2 : end].partition("\n")
            yield command, printed


def alike(told: str, printed: str) -> bool:
    """Two words, of whose numbers those with decimals may differ a little."""
    if NUMBER.sub("#", told) != NUMBER.sub("#", printed):
        return False
    return all(
        a == b or ("." in a and abs(float(a) - float(b)) <= POINTS)
        for a, b in zip(NUMBER.findall(told), NUMBER.findall(printed), strict=True)
    )


def fits(told: str, printed: str) -> bool:
    """Whether the page tells what was printed. Lines may be broken elsewhere; a line of dots stands
    for any number of words."""
    return _fits(re.sub(r"^\.\.\.$", REST, told, flags=re.MULTILINE).split(), printed.split())


def _fits(told: list[str], printed: list[str]) -> bool:
    for place, word in enumerate(told):
        if word == REST:
            rest = told[place + 1 :]
            return any(_fits(rest, printed[at:]) for at in range(place, len(printed) + 1))
        if place >= len(printed) or not alike(word, printed[place]):
            return False
    return len(told) == len(printed)


def test_the_tutorials_commands_print_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FPLBENCH_CACHE", str(tmp_path / "cache"))
    seen = []
    for command, told in session():
        name, *arguments = shlex.split(command)
        if name == "cat":
            printed = (tmp_path / arguments[0]).read_text()
        else:
            assert name == "fplbench"
            code, printed, err = call(arguments, monkeypatch, capsys)
            assert code == 0, err
        assert fits(told, printed), f"{command} prints\n{printed}"
        seen.append(arguments[0])
    assert {"data", "run", "tables", "report"} <= set(seen)


@pytest.mark.parametrize(
    ("told", "printed", "same"),
    [
        ("12 cells\n 76.4 ± 1.5\n", "12 cells\n\n 76.9 ± 1.2 ", True),
        ("12 cells\n", "13 cells\n", False),
        ("76.4\n", "78.4\n", False),
        ("a\n...\nc 1.0\n", "a\nb\nb\nc 1.2\n", True),
        ("a\n...\nc\n", "a\nb\nd\n", False),
        ("a\n...\n", "a\nb\n", True),
        ("b\n...\n", "a\nb\n", False),
        ("a\n", "a\nb\n", False),
        (r"\textbf{76.4}\,{\tiny$\pm$1.5} \\", r"\textbf{76.5}\,{\tiny$\pm$1.5} \\", True),
        (r"\textbf{76.4} \\", r"76.4 \\", False),
    ],
)
def test_what_is_compared_is_noticed(told: str, printed: str, same: bool) -> None:
    assert fits(told, printed) == same

"""docs/architecture.md says what is so: the way from a command to a loss."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import call

import fplbench

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
METHOD = """
import json, traceback
from pathlib import Path
from fplbench.method import Method, Param
from fplbench.prompts import cosine_logits, text_features
import torch

class Watched(Method):
    name, title, source = "watched", "Watched", "a test"

    def init(self, task, generator):
        return {{"ctx": Param(torch.zeros(2, task.width))}}

    def encode(self, params, task):
        return {{"t": text_features(params["ctx"], task, "end")}}

    def logits(self, params, text, batch, task):
        return cosine_logits(batch.pooled, text["t"], task)

    def losses(self, params, batch, task):
        stack = [(f.filename, f.name) for f in traceback.extract_stack()]
        with Path({seen!r}).open("a") as file:
            file.write(json.dumps(stack) + "\\n")
        return super().losses(params, batch, task)
"""
SMALL = ["--methods", "watched", "--datasets", "digits", "--clients", "3", "--rounds", "1"]


def test_the_way_to_a_loss_is_as_short_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen, plugins = tmp_path / "seen", tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "watched.py").write_text(METHOD.format(seen=str(seen)))
    command = ["run", *SMALL, "--plugins", str(plugins), "--out", str(tmp_path / "out")]
    code, _, err = call(command, monkeypatch, capsys)
    assert code == 0, err
    last = json.loads(seen.read_text().splitlines()[-1])
    package = str(Path(fplbench.__file__).parent) + "/"
    frames = [
        (file.removeprefix(package), name)
        for file, name in last
        if file.startswith(package) and name != "main"
    ]
    own = [name for file, name in last if file == str(plugins / "watched.py")]
    told = re.findall(r"^\d\. `(\S+)` `(\w+)`", PAGE.read_text(), re.MULTILINE)
    assert [*frames, ("methods/NAME.py", own[0])] == told
    assert len(told) == 9
    assert len({file for file, _ in told}) == 6

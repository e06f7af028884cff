"""What only reads results works where torch is not installed; what computes says what it needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from environments import run

from fplbench.cli.app import COMPUTING
from fplbench.records import packed, starts
from fplbench.records.results import read_cells
from fplbench.report import reference

ROOT = Path(__file__).parents[2]
MODULES = {"open_clip_torch": "open_clip", "scikit-learn": "sklearn"}  # by distribution

# All commands in one process, in which the modules are as if they were not installed.
CALLS = """\
import shlex, sys

BLOCKED, LINES = set(sys.argv[1].split()), sys.argv[2:]

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from fplbench.cli.app import main

for line in LINES:
    sys.argv = ["fplbench", *shlex.split(line)]
    print("==", line, flush=True)
    sys.stderr = sys.stdout
    try:
        main()
        print("EXIT 0")
    except SystemExit as ended:
        print("EXIT", ended.code or 0)

import fplbench
print("cells:", fplbench.load_results("few.jsonl")["id"].nunique())
print("clients:", len(fplbench.load_clients("few.jsonl")) > 0)
print("imported:", sorted(BLOCKED & {name.partition(".")[0] for name in sys.modules}))
"""
READING = [
    "show whole.jsonl.gz",
    "show few.jsonl",
    "tables few.jsonl",
    "tables few.jsonl --measure f1 --out f1",
    "tables few.jsonl --rows method,scenario,scen.shots --out own",
    "tables few.jsonl --reference --out beside",
    "plots few.jsonl",
    "report few.jsonl",
    "pack few.jsonl again.jsonl.gz",
    "merge few.jsonl -o merged.jsonl",
    "stability few.jsonl --starts 0",
    "check cells",
    "status cells",
    "list formats",
    "list executors",
    "list presets",
    "list scenarios",
    "cache list",
    "new method my_own",
]
COMPUTES = [
    "run --methods coop --datasets digits",
    "demo --quick",
    "rerun cells/CELL",
    "attack cells",
    "exam coop",
    "doctor",
    "list methods",
    "list strategies",
    "list backbones",
]


def names(requirements: list[str]) -> dict[str, str]:
    """Distribution -> its whole line."""
    return {re.split("[><=]", line)[0]: line for line in requirements if line}


def test_what_reads_needs_no_torch_and_what_computes_says_so(tmp_path: Path) -> None:
    shutil.copy(reference.FILE, tmp_path / "whole.jsonl.gz")
    found, _ = read_cells(reference.FILE)
    # Of PLOT there is every measure, of the others accuracy alone.
    some = [("digits", "coop"), ("digits", "promptfl"), ("shapes", "coop"), ("shapes", "plot")]
    drawn = [record for _, record in starts.drawn(found)]
    usual = ("personal", "base2novel")
    few = [r for r in drawn if (r.dataset, r.method) in some and r.scenario in usual and r.seed < 3]
    packed.write(few, tmp_path / "few.jsonl")
    shutil.copytree(ROOT / "tests" / "golden" / "record_schema_5", tmp_path / "cells")
    (cell,) = (tmp_path / "cells").iterdir()
    lines = [line.replace("CELL", cell.name) for line in (*READING, *COMPUTES)]
    blocked = " ".join(sorted(COMPUTING))
    text = run(sys.executable, "-c", CALLS, blocked, *lines, cwd=tmp_path)
    parts = re.split("^== ", text, flags=re.MULTILINE)[1:]
    by_line = dict(part.partition("\n")[::2] for part in parts)
    for line in lines[: len(READING)]:
        assert "EXIT 0" in by_line[line], by_line[line]
    for line in lines[len(READING) :]:
        words = re.search(r"fplbench: This needs (\w+), which is not installed", by_line[line])
        assert words, by_line[line]
        assert words[1] in COMPUTING
        assert "EXIT 2" in by_line[line]
        assert "Traceback" not in by_line[line]
    assert f"cells: {len(few)}\nclients: True\nimported: []" in parts[-1]
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert len(list((tmp_path / "plots").glob("*.png"))) > 2
    assert "F1" in (tmp_path / "f1" / "tables-f1.md").read_text()


def test_the_light_requirements_are_the_packages_without_those_that_compute() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    every = names(project["dependencies"])
    light = names((ROOT / "requirements-report.txt").read_text().splitlines())
    assert light.items() <= every.items()
    heavy = {MODULES.get(name, name) for name in every.keys() - light.keys()}
    assert heavy | {"torchvision"} == COMPUTING  # which open_clip brings
    readme = (ROOT / "README.md").read_text()
    (line,) = re.findall(r"^    pip install --no-deps fplbench && pip install (.+)$", readme, re.M)
    assert set(line.split()) == set(light)


def test_a_torchvision_of_another_torch_ends_in_one_sentence(tmp_path: Path) -> None:
    package = tmp_path / "torchvision" / "__init__.py"
    package.parent.mkdir()
    # As torchvision does when its library could not be loaded, which says nothing by itself.
    package.write_text("import torch\ntorch.library.register_fake('torchvision::nms')(len)\n")
    done = subprocess.run(
        [sys.executable, "-m", "fplbench", "doctor"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert re.match(r"fplbench: torchvision \S+ was not built for torch \S+: ", done.stderr)
    assert done.stderr.count("\n") == 1

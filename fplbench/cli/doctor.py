"""What this machine has of what fplbench needs, and what to do about the rest."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

import fplbench
from fplbench.clip import hub
from fplbench.data.on_disk import data_root
from fplbench.data.reading import missing_of
from fplbench.dataset import Dataset
from fplbench.errors import UserError
from fplbench.grid.preset import presets
from fplbench.machine import caches
from fplbench.plugins import registry
from fplbench.plugins.base import chosen
from fplbench.records.phrases import some

LITTLE_SPACE = 2_000_000_000  # bytes; features of a data set with patches take that much
OLDEST = (3, 11)


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, and what to do, "" where all is well."""

    what: str
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Machine:
    """What findings are made of, looked at once.

    weights: ARCH:TAG -> file. offline: why weights cannot be downloaded, None if they can.
    absent: data set -> why it is not here.
    """

    weights: Mapping[str, Path]
    offline: str | None
    datasets: Mapping[str, type[Dataset]]
    absent: Mapping[str, str]


def examine(plugins: Sequence[Path], root: Path | None) -> Machine:
    """Look at the weights, the network and the data sets."""
    datasets = registry.datasets(plugins).classes
    every = {name: cls for name, cls in datasets.items() if not cls.wants}
    reasons = {name: missing_of(cls, root) for name, cls in every.items()}
    return Machine(
        weights=hub.all_kept(),
        offline=hub.unreachable(),
        datasets=datasets,
        absent={name: reason for name, reason in reasons.items() if reason is not None},
    )


def findings(machine: Machine, root: Path | None, cache: Path) -> Iterator[Finding]:
    """Everything but the commands."""
    yield _python()
    yield _torch()
    yield from _devices()
    yield Finding("open_clip", importlib.metadata.version("open_clip_torch"))
    yield _transformers()
    yield from _caches(cache)
    yield _weights(machine)
    yield Finding(
        "network",
        "weights can be downloaded" if machine.offline is None else machine.offline,
        ""
        if machine.offline is None
        else "without it: the tiny backbone, weights that are found, or a file as ARCH:PATH",
    )
    yield _data(machine, root)


def _python() -> Finding:
    old = sys.version_info[:2] < OLDEST
    return Finding(
        "Python",
        f"{platform.python_version()}, fplbench {fplbench.__version__}",
        "make setup PYTHON=/path/to/python3.11" if old else "",
    )


def _torch() -> Finding:
    build = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "for the CPU alone"
    remedy = ""
    if torch.version.cuda is None and shutil.which("nvidia-smi"):
        remedy = "there is an NVIDIA driver: install a build of torch for CUDA (pytorch.org)"
    elif torch.version.cuda and not torch.cuda.is_available() and shutil.which("nvidia-smi"):
        remedy = "torch cannot use the GPU: compare its CUDA with the driver's in nvidia-smi"
    return Finding("torch", f"{torch.__version__}, {build}", remedy)


def _devices() -> Iterator[Finding]:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(count):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        yield Finding(f"cuda:{index}", f"{name}, {decimal(free)} of {decimal(total)} free")
    if not count:
        cores = f"{some(os.cpu_count(), 'core')}, {some(torch.get_num_threads(), 'thread')}"
        yield Finding("device", f"no CUDA device; CPU with {cores}")


def _transformers() -> Finding:
    if importlib.util.find_spec("transformers"):
        return Finding("transformers", importlib.metadata.version("transformers"))
    return Finding(
        "transformers",
        "not installed; only tokenizers of SigLIP's kind need it",
        "pip install transformers, if you want these backbones",
    )


def _caches(cache: Path) -> Iterator[Finding]:
    for kept in caches.look(cache):
        size = f"{kept.shown} in {some(kept.files, 'file')}, {kept.folder}"
        yield Finding(f"cache: {kept.kind}", size)
    place = next(p for p in (cache, *cache.parents) if p.exists())
    free = shutil.disk_usage(place).free
    remedy = ""
    if not os.access(place, os.W_OK):
        remedy = f"{place} cannot be written to: name another folder in FPLBENCH_CACHE"
    elif free < LITTLE_SPACE:
        remedy = "little space: fplbench cache clear features, or another disk in FPLBENCH_CACHE"
    yield Finding("disk", f"{decimal(free)} free at {place}", remedy)


def _weights(machine: Machine) -> Finding:
    place = hub.hub_cache()
    held = f"{decimal(caches.folder_bytes(place))} in {place}"
    if machine.weights:
        return Finding("weights", f"tiny (embedded), {', '.join(machine.weights)}; {held}")
    return Finding(
        "weights",
        f"tiny (embedded), none of open_clip's; {held}",
        "a run with --backbone ARCH:TAG downloads them once"
        if machine.offline is None
        else "copy them from a machine with a network, or give a file as ARCH:PATH",
    )


def _data(machine: Machine, root: Path | None) -> Finding:
    names = [name for name, cls in machine.datasets.items() if not cls.wants]
    here = [name for name in names if name not in machine.absent]
    found = f"{len(here)} of {len(names)} here: {', '.join(here)}; root {data_root(root)}"
    remedy = "fplbench data list says where the others were looked for; data download NAME"
    return Finding("data sets", found, remedy if machine.absent else "")


def commands(machine: Machine) -> Iterator[Finding]:
    """Which of the README's commands and presets can run now, and what the others want."""
    for command in (*written(readme()), *(f"fplbench run --preset {name}" for name in presets())):
        wants = wanting(command, machine)
        remedies = "; ".join(wants)
        yield Finding(command, "no" if wants else "yes", remedies)


def readme() -> str:
    """The README of a checkout, else the one that an installed package carries."""
    path = Path(fplbench.__file__).parents[1] / "README.md"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    return str(importlib.metadata.metadata("fplbench").get_payload())  # type: ignore[attr-defined]


def written(text: str) -> list[str]:
    """The commands of a README: presets stand for themselves, a grid is a file of the user's."""
    lines = re.findall(r"^    ((?:make|fplbench run) .*|fplbench demo\b.*)$", text, re.MULTILINE)
    found = [re.sub(r"\s+#.*", "", line).strip() for line in lines]
    return [line for line in found if "--preset" not in line and ".yaml" not in line]


def wanting(command: str, machine: Machine) -> list[str]:
    """What a command needs and this machine has not, each with what to do."""
    words = shlex.split(command)
    if words[0] == "make":
        return _make()
    parser = argparse.ArgumentParser(add_help=False)
    for flag in ("--datasets", "--backbone", "--preset"):
        parser.add_argument(flag)
    given = parser.parse_known_args(words)[0]
    datasets = tuple((given.datasets or "").split(",")) if given.datasets else ()
    backbone = given.backbone or "tiny"
    if given.preset:
        run = presets()[given.preset].run
        datasets, backbone = datasets or run.datasets, given.backbone or run.backbone
    return [*_absent(datasets, machine), *_lacking(backbone, machine)]


def _make() -> list[str]:
    """In a checkout, make installs by itself what its targets need."""
    wants = [] if shutil.which("make") else ["install make"]
    return wants if Path("Makefile").is_file() else [*wants, "call it in a checkout"]


def _absent(names: Sequence[str], machine: Machine) -> list[str]:
    if names == ("all",):
        return []
    unknown = [name for name in names if chosen(dict(machine.datasets), name) is None]
    if unknown:
        raise UserError(f"There is no data set {unknown[0]!r}.")
    absent = [name for name in names if name in machine.absent]
    return [f"fplbench data download {' '.join(absent)}"] if absent else []


def _lacking(backbone: str, machine: Machine) -> list[str]:
    if backbone == "tiny" or backbone in machine.weights or machine.offline is None:
        return []
    return [f"weights {backbone}: a network once, or a file as {backbone.partition(':')[0]}:PATH"]


def shown(lines: Sequence[Finding], heads: tuple[str, str, str]) -> RenderableType:
    """A table of findings."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        table.add_column(head, overflow="fold", max_width=60 if place == 0 else None)
    for line in lines:
        style = "yellow" if line.remedy else ""
        table.add_row(Text(line.what), Text(line.found), Text(line.remedy, style=style))
    return table

"""The golden format: a file is a case, with settings in its metadata (tests/golden/README.md)."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from fplbench.method import Tensors

HERE = Path(__file__).parents[1] / "golden"
GOLDEN = Path(os.environ.get("FPLBENCH_GOLDEN") or HERE)


@dataclass(frozen=True)
class Case:
    """settings: the metadata, decoded; tensors: under the names of the format."""

    name: str
    settings: dict[str, object]
    tensors: Tensors

    @property
    def method(self) -> str:
        """With the variant of it, where the format names one."""
        variant = self.settings.get("variant")
        return f"{self.settings['method']}, {variant}" if variant else str(self.settings["method"])

    @property
    def kind(self) -> str:
        return str(self.settings.get("kind", "step"))

    @property
    def backbone(self) -> str:
        return str(self.settings.get("backbone", "clip_tiny"))

    @property
    def classnames(self) -> tuple[str, ...]:
        names = self.settings["classnames"]
        assert isinstance(names, list)
        return tuple(map(str, names))

    def group(self, prefix: str) -> Tensors:
        """The tensors whose names begin so, under the rest of their names."""
        return {
            name.removeprefix(prefix): value
            for name, value in self.tensors.items()
            if name.startswith(prefix)
        }

    def number(self, name: str, default: float | None = None) -> float:
        value = self.settings[name] if default is None else self.settings.get(name, default)
        assert isinstance(value, (int, float)), name
        return float(value)

    def of(self, name: str) -> Tensor:
        return self.tensors[name]


def case_files() -> list[Path]:
    """All files of the folder but the backbones, which have no method."""
    found = []
    for path in sorted(GOLDEN.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            if "method" in (file.metadata() or {}):
                found.append(path)
    return found


def read(path: Path) -> Case:
    with safe_open(path, "pt") as file:
        settings = {name: _decoded(value) for name, value in file.metadata().items()}
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    return Case(path.stem, settings, tensors)


def _decoded(value: str) -> object:
    """JSON, or the string itself: the format's README promises JSON, the files' method is bare."""
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value

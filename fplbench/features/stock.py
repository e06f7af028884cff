"""What the cells of a run share: backbones, data and features, each loaded once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch

from fplbench.clip.backbone import Backbone
from fplbench.clip.task import PromptTask
from fplbench.clip.text import TextTower
from fplbench.data.prepare import prepared
from fplbench.data.progress import Progress, Watch, unwatched
from fplbench.dataset import Data, Dataset, IntArray
from fplbench.features import backbones
from fplbench.features.cache import features
from fplbench.features.images import Images, chained
from fplbench.machine.place import Place
from fplbench.machine.process import choose_device
from fplbench.method import OF_TRAINING, Method, Task
from fplbench.plugins import provenance, registry
from fplbench.plugins.measure import DEFAULT, Measure
from fplbench.plugins.registry import Broken
from fplbench.scenario import Scenario
from fplbench.spec import OWN, Cell, Precision
from fplbench.strategy import Strategy


class Workbench:
    """What the cells of a process share: plug-ins, backbones, data and features, each made once.

    place: where it computes and what it reads. watch: shows the examination of a data set's
    files.
    """

    def __init__(self, place: Place, watch: Watch = unwatched) -> None:
        self.place = place
        self.device = choose_device(place.device)
        self.methods = registry.methods(place.plugins)
        self.datasets = registry.datasets(place.plugins)
        self.scenarios = registry.scenarios(place.plugins)
        self.strategies = registry.strategies(place.plugins)
        self.metrics = registry.metrics(place.plugins)
        self._watch = watch
        self._backbones: dict[str, Backbone] = {}
        self._data: dict[str, Data] = {}
        self._tasks: dict[tuple[str, str, Precision, bytes], PromptTask] = {}
        self._towers: dict[tuple[str, Precision], TextTower] = {}
        self._scenarios: dict[str, Scenario] = {}
        self._images: dict[tuple[str, str, str, int], Images] = {}

    @property
    def broken(self) -> list[Broken]:
        """The plug-ins that cannot be used."""
        every = (self.methods, self.strategies, self.datasets, self.scenarios, self.metrics)
        return [broken for found in every for broken in found.broken]

    def method(self, cell: Cell) -> Method:
        """The cell's method with its settings, in its strategy."""
        cls = self.methods.get(cell.method)
        made, strategy = cls(cls.Config(**cell.settings)), self.strategy(cell)
        if strategy is None:
            return made
        return strategy(strategy.Config(**cell.strategy_settings), made)

    def backbone(self, name: str) -> Backbone:
        """The frozen CLIP of this name, on the device."""
        if name not in self._backbones:
            self._backbones[name] = backbones.load(name, self.device)
        return self._backbones[name]

    def dataset(self, name: str) -> type[Dataset]:
        """The data set's class."""
        return self.datasets.get(name)

    def scenario(self, cell: Cell) -> Scenario:
        """The cell's scenario with its settings; kept, so that its file is read once."""
        key = json.dumps([cell.scenario, cell.scenario_settings], sort_keys=True)
        if key not in self._scenarios:
            cls = self.scenarios.get(cell.scenario)
            self._scenarios[key] = cls(cls.Config(**cell.scenario_settings))
        return self._scenarios[key]

    def strategy(self, cell: Cell) -> type[Strategy] | None:
        """The class of the cell's strategy, None where the method travels in its own way."""
        return None if cell.strategy == OWN else self.strategies.get(cell.strategy)

    def measures(self) -> list[Measure]:
        """All there are, that of a question's bare name first."""
        found = [cls() for cls in self.metrics.classes.values()]
        return sorted(found, key=lambda measure: measure.name != DEFAULT)

    def data(self, name: str) -> Data:
        """The data set of this name, every file of it known to be readable."""
        if name not in self._data:
            cls = self.dataset(name)
            with self._watch(f"examining {name}") as progress:
                where = self.place
                self._data[name] = prepared(
                    cls, where.root, where.cache, where.skip_broken, progress
                )
        return self._data[name]

    def images(
        self,
        backbone: str,
        dataset: str,
        split: Literal["train", "test"],
        inputs: frozenset[str],
        views: int = 1,
        progress: Progress | None = None,
    ) -> Images:
        """Features of a split, those that `inputs` asks for, in that many views; test images
        have none that training alone reads.

        progress: called with images done and to do while the image tower works.
        """
        if split == "test":
            inputs -= OF_TRAINING
        first, *others = (
            self._view(backbone, dataset, split, inputs, view, progress) for view in range(views)
        )
        return replace(first, views=tuple(others))

    def _view(
        self,
        backbone: str,
        dataset: str,
        split: Literal["train", "test"],
        inputs: frozenset[str],
        view: int,
        progress: Progress | None,
    ) -> Images:
        key = (backbone, dataset, split, view)
        kept = self._images.get(key)
        if (
            kept is None
            or ("patches" in inputs and kept.patches is None)
            or ("pixels" in inputs and kept.embedded is None)
            or ("norms" in inputs and kept.norms is None)
            or ("mirrored" in inputs and kept.mirrored is None)
        ):
            parts = [
                self._view(backbone, part.name, split, inputs, view, progress)
                for part in self.dataset(dataset).parts
            ]
            labels = getattr(self.data(dataset), split).labels
            self._images[key] = (
                chained(labels, parts)
                if parts
                else self._read(backbone, dataset, split, inputs, view, progress)
            )
        every = self._images[key]
        return replace(
            every,
            patches=every.patches if "patches" in inputs else None,
            embedded=every.embedded if "pixels" in inputs else None,
            norms=every.norms if "norms" in inputs else None,
            mirrored=every.mirrored if "mirrored" in inputs else None,
        )

    def _read(
        self,
        backbone: str,
        dataset: str,
        split: Literal["train", "test"],
        inputs: frozenset[str],
        view: int,
        progress: Progress | None,
    ) -> Images:
        """From the cache on disk, or computed."""
        data, together = self.data(dataset), inputs | self.place.inputs
        if split == "test":
            together -= OF_TRAINING
        found = features(
            self.backbone(backbone),
            data,
            split,
            patches="patches" in together,
            cache=self.place.cache / "features",
            device=self.device,
            progress=progress,
            view=view,
            embedded="pixels" in together,
            norms="norms" in together,
            mirrored="mirrored" in together,
        )
        return Images(
            labels=(data.train if split == "train" else data.test).labels,
            pooled=torch.from_numpy(found.pooled),
            patches=None if found.patches is None else torch.from_numpy(found.patches),
            embedded=None if found.embedded is None else torch.from_numpy(found.embedded),
            norms=None if found.norms is None else torch.from_numpy(found.norms),
            mirrored=None if found.mirrored is None else torch.from_numpy(found.mirrored),
        )

    def task_for(
        self, backbone: str, dataset: str, precision: Precision = "fp32"
    ) -> Callable[[IntArray], Task]:
        """From class indices [K] of a data set to the task over those classes; kept."""
        data, frozen = self.data(dataset), self.backbone(backbone)
        tower = self._tower(backbone, precision)
        names, templates, scale = data.classnames, data.templates, frozen.logit_scale
        own = data.own_templates
        whole = PromptTask(frozen.text, names, templates, scale, tower, frozen.visual, own)

        def task(classes: IntArray) -> Task:
            key = (backbone, dataset, precision, classes.tobytes())
            if key not in self._tasks:
                self._tasks[key] = whole.subset(classes)
            return self._tasks[key]

        return task

    def _tower(self, backbone: str, precision: Precision) -> TextTower:
        """What prompts go through: one for each precision, as a tower keeps what it computed once.
        TF32 is a switch of torch's; bfloat16 takes other weights."""
        text = self.backbone(backbone).text
        if precision == "fp32":
            return text
        if (backbone, precision) not in self._towers:
            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            self._towers[backbone, precision] = text.in_precision(dtype)
        return self._towers[backbone, precision]

    def code(self, cell: Cell, method: type[Method]) -> dict[str, dict[str, str]]:
        """The files behind those parts of the identity that are code, each with its hash."""
        return {name: provenance.hashes(cls) for name, cls in self._plugins(cell, method).items()}

    def identity(self, cell: Cell, method: type[Method]) -> dict[str, str]:
        """What decides a cell's numbers beside its settings."""
        data = self.data(cell.dataset)
        code = self._plugins(cell, method)
        partition = self.scenario(cell).fingerprint()
        return {
            **{name: provenance.version(cls) for name, cls in code.items()},
            "data": data.fingerprint,
            "split": data.split_source,
            **({"partition": partition} if partition else {}),
            "weights": self.backbone(cell.backbone).fingerprint,
        }

    def _plugins(self, cell: Cell, method: type[Method]) -> dict[str, type]:
        """The classes whose code is part of the identity; the core's scenarios and strategies
        are not."""
        found: dict[str, type] = {"method": method, "dataset": self.dataset(cell.dataset)}
        others = {"scenario": self.scenarios.get(cell.scenario), "strategy": self.strategy(cell)}
        return found | {
            kind: cls for kind, cls in others.items() if cls and not provenance.is_core(cls)
        }

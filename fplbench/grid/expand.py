"""From a request to its cells: names looked up, settings resolved, all mistakes said at once."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from fplbench.dataset import Dataset
from fplbench.errors import UserError
from fplbench.features.stock import Workbench
from fplbench.grid import defaults
from fplbench.method import Method
from fplbench.registry import Found
from fplbench.scenario import ScenarioSettings
from fplbench.scenarios import SCENARIOS, ScenarioKind
from fplbench.spec import Cell, Json, Request, Training


@dataclass
class _Problems:
    """Sentences collected until all of a request has been looked at."""

    sentences: list[str] = field(default_factory=list)

    def add(self, error: UserError | str) -> None:
        text = str(error)
        if text not in self.sentences:
            self.sentences.append(text)

    def refuse(self) -> None:
        if self.sentences:
            raise UserError("\n".join(self.sentences))


def expand(
    request: Request,
    methods: Found[Method],
    datasets: Found[Dataset],
    bench: Workbench,
    device: str | None = None,
) -> list[Cell]:
    """The cells of a request, each once: data sets, then seeds, then settings, then methods, so
    that partial results of all methods come early. UserError with one line for each thing that
    is wrong. device: the kind that will run them; by default the bench's.
    """
    problems = _Problems()
    classes = _look_up(request.methods, methods, problems)
    sets = _look_up(request.datasets, datasets, problems)
    kinds = {
        (name, kind): SCENARIOS.get(kind)
        for name, cls in sets.items()
        for kind in request.scenarios or (cls.default_scenario,)
    }
    for _, name in kinds:
        if name not in SCENARIOS:
            problems.add(f"There is no scenario {name!r}; {suggestion(name, SCENARIOS)}")
    for key, value in (request.options | request.sets).items():
        if value == []:
            problems.add(f"{key} is an empty list: give it a value, or leave it out.")
    problems.refuse()
    known = {(name, kind.name): kind for (name, _), kind in kinds.items() if kind is not None}
    _check_options(request, known.values(), problems)
    _check_sets(request, classes, problems)
    cells: dict[str, Cell] = {}
    for point, place in _places(request, known, bench, problems):
        for name, method in classes.items():
            cell = _cell(point, name, method, place, problems)
            if cell is not None:
                # A swept setting that a method lacks gives it one cell, not many.
                cells.setdefault(cell.model_dump_json(), cell)
    found = list(cells.values())
    tf32 = any(cell.training.precision == "tf32" for cell in found)
    if (device or bench.device.type) == "cpu" and tf32:
        problems.add(
            "--precision tf32 exists on NVIDIA's GPUs alone and this run is on the CPU: "
            "use fp32 or bf16."
        )
    _try_splits(found, bench, problems)
    problems.refuse()
    return found


@dataclass(frozen=True)
class _Place:
    """Where a method is run."""

    dataset: str
    kind: ScenarioKind
    scenario: ScenarioSettings
    backbone: str
    seed: int


def _places(
    request: Request,
    known: dict[tuple[str, str], ScenarioKind],
    bench: Workbench,
    problems: _Problems,
) -> Iterator[tuple[Request, _Place]]:
    """Every place of a request with its settings, no list left among them."""
    points = request.points()
    for (dataset, _), kind in known.items():
        for backbone, seed, point in itertools.product(request.backbones, request.seeds, points):
            for scenario in _scenarios(point, dataset, kind, bench, problems):
                yield point, _Place(dataset, kind, scenario, backbone, seed)


def _look_up(names: Iterable[str], found: Found[Any], problems: _Problems) -> dict[str, type[Any]]:
    chosen = {}
    for name in names:
        try:
            chosen[name] = found.get(name)
        except UserError as error:
            problems.add(error)
    return chosen


def suggestion(name: str, known: Iterable[str]) -> str:
    """The nearest of the known names, or all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}."


def _check_options(request: Request, kinds: Iterable[ScenarioKind], problems: _Problems) -> None:
    """A flag that no chosen scenario knows would be ignored in silence; it is refused."""
    kinds = list(kinds)
    for option in request.options:
        scenarios = [kind for kind in kinds if option in kind.Settings.model_fields]
        if option not in Training.model_fields and not scenarios:
            names = ", ".join(sorted({kind.name for kind in kinds}))
            problems.add(f"{option} is no setting of the scenario {names}; leave the flag out.")


def _check_sets(request: Request, methods: dict[str, type[Method]], problems: _Problems) -> None:
    for key in request.sets:
        owner, _, bare = key.rpartition(".")
        if owner and owner not in methods:
            chosen = suggestion(owner, methods)
            problems.add(f"--set {key}: the method {owner!r} is not part of this run; {chosen}")
            continue
        fields = {
            name
            for method in ([methods[owner]] if owner else methods.values())
            for name in (*method.Config.model_fields, *Training.model_fields)
        }
        if bare not in fields:
            of = f"{owner} has" if owner else "the chosen methods have"
            problems.add(f"--set {key}: {of} no setting {bare!r}; {suggestion(bare, fields)}")


def _scenarios(
    request: Request,
    dataset: str,
    kind: ScenarioKind,
    bench: Workbench,
    problems: _Problems,
) -> list[ScenarioSettings]:
    given = {k: v for k, v in request.options.items() if k in kind.Settings.model_fields}
    try:
        settings = kind.Settings(**given)
        return kind.expand(bench.data(dataset).domains, settings)
    except ValidationError as error:
        _explain(error, f"scenario {kind.name}", problems)
    except UserError as error:
        problems.add(f"{dataset}, {kind.name}: {str(error).rstrip('.')}.")
    return []


def _cell(
    request: Request,
    name: str,
    method: type[Method],
    place: _Place,
    problems: _Problems,
) -> Cell | None:
    own = {
        key.rpartition(".")[2]: v
        for key, v in request.sets.items()
        if key.rpartition(".")[0] == name
    }
    common = {key: v for key, v in request.sets.items() if "." not in key}
    wanted = common | own
    asked = {k: v for k, v in (request.options | wanted).items() if k in Training.model_fields}
    training = defaults.training(place.backbone, place.kind)
    settings = defaults.settings(place.backbone, method)
    settings |= {k: v for k, v in wanted.items() if k in method.Config.model_fields}
    try:
        return Cell(
            method=name,
            settings=_resolved(method.Config, settings),
            dataset=place.dataset,
            scenario=place.kind.name,
            scenario_settings=place.scenario.model_dump(mode="json"),
            training=Training(**training | asked),
            backbone=place.backbone,
            seed=place.seed,
        )
    except ValidationError as error:
        _explain(error, f"method {name}", problems)
        return None


def _resolved(config: type[BaseModel], given: Json) -> Json:
    """Every setting with its value; validation may raise."""
    return config(**given).model_dump(mode="json")


def _explain(error: ValidationError, of: str, problems: _Problems) -> None:
    for each in error.errors():
        where = ".".join(map(str, each["loc"])) or of
        problems.add(f"{where}={each['input']!r} is refused ({of}): {each['msg']}.")


def _try_splits(cells: list[Cell], bench: Workbench, problems: _Problems) -> None:
    """Make each split once, so that one that cannot be made is refused before the first cell."""
    tried = set()
    for cell in cells:
        key = (cell.dataset, cell.scenario, json.dumps(cell.scenario_settings), cell.seed)
        if key in tried:
            continue
        tried.add(key)
        kind = SCENARIOS[cell.scenario]
        try:
            kind.build(bench.data(cell.dataset), kind.Settings(**cell.scenario_settings), cell.seed)
        except UserError as error:
            problems.add(
                f"{cell.dataset}, {cell.scenario}, seed {cell.seed}: {str(error).rstrip('.')}."
            )

"""From a request to its cells: names looked up, settings resolved, all mistakes said at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from fplbench.errors import UserError
from fplbench.features.stock import Workbench
from fplbench.grid import defaults
from fplbench.grid.tried import Problems, try_runs, try_splits, try_starts, try_strategies
from fplbench.method import Method
from fplbench.plugins.base import Settings, refusals, suggestion
from fplbench.plugins.registry import Found, usual
from fplbench.plugins.written import Swept, read, takes_text
from fplbench.scenario import Scenario
from fplbench.spec import FLAGS, OWN, Cell, Json, Request, Training
from fplbench.strategy import Strategy, refusal


def expand(
    request: Request,
    bench: Workbench,
    device: str | None = None,
) -> list[Cell]:
    """The cells of a request, each once: data sets, then seeds, then settings, then methods, so
    that partial results of all methods come early. UserError with one line for each thing that
    is wrong. device: the kind that will run them; by default the bench's.
    """
    problems = Problems()
    classes = _look_up(request.methods, bench.methods, problems)
    sets = _look_up(request.datasets, bench.datasets, problems)
    asked = [
        (name, scenario)
        for name, cls in sets.items()
        for scenario in request.scenarios or (usual(cls, bench.scenarios),)
    ]
    ways = _look_up((n for n in request.strategies if n != OWN), bench.strategies, problems)
    scenarios = _look_up(dict.fromkeys(name for _, name in asked), bench.scenarios, problems)
    for key, value in (request.options | request.sets).items():
        if value == []:
            problems.add(f"{key} is an empty list: give it a value, or leave it out.")
    problems.refuse()
    kinds = [(name, bench.scenarios.get(scenario)) for name, scenario in asked]
    known = {(name, kind.name): kind for name, kind in kinds}
    _check_options(request, scenarios, ways, bench.strategies.classes, problems)
    _check_sets(request, classes, scenarios, ways, problems)
    pairs_of = list(_pairs(request, classes, ways, problems))
    request = _with_whole_names(request, known, bench)
    cells: dict[str, Cell] = {}
    for point, place in _places(request, known, bench, problems):
        for method, strategy in pairs_of:
            cell = _cell(point, method, strategy, place, problems)
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
    sizes = try_splits(found, bench, problems)
    try_starts(found, classes, bench, problems)
    problems.refuse()
    try_strategies(found, classes, ways, bench, problems)
    problems.refuse()
    try_runs(found, sizes, bench, problems)
    problems.refuse()
    return found


def _pairs(
    request: Request,
    methods: dict[str, type[Method]],
    ways: dict[str, type[Strategy]],
    problems: Problems,
) -> Iterator[tuple[type[Method], type[Strategy] | None]]:
    """Each method with each strategy, None for its own, where the two go together."""
    for method, name in itertools.product(methods.values(), request.strategies):
        strategy = ways.get(name)
        why = None if strategy is None else refusal(method, strategy)
        if why is None:
            yield method, strategy
        else:
            problems.add(why)


@dataclass(frozen=True)
class _Place:
    """Where a method is run."""

    dataset: str
    scenario: Scenario
    backbone: str
    seed: int


def _places(
    request: Request,
    known: dict[tuple[str, str], type[Scenario]],
    bench: Workbench,
    problems: Problems,
) -> Iterator[tuple[Request, _Place]]:
    """Every place of a request with its settings, no list left among them."""
    points = request.points()
    for (dataset, _), kind in known.items():
        for backbone, seed, point in itertools.product(request.backbones, request.seeds, points):
            for scenario in _scenarios(point, dataset, kind, bench, problems):
                yield point, _Place(dataset, scenario, backbone, seed)


def _look_up(names: Iterable[str], found: Found[Any], problems: Problems) -> dict[str, type[Any]]:
    chosen = {}
    for name in names:
        try:
            cls = found.get(name)
            chosen[cls.name] = cls
        except UserError as error:
            problems.add(error)
    return chosen


def _check_options(
    request: Request,
    scenarios: dict[str, type[Scenario]],
    ways: dict[str, type[Strategy]],
    every: Mapping[str, type[Strategy]],
    problems: Problems,
) -> None:
    """A flag that nothing chosen knows would be ignored in silence; it is refused."""
    known = {name for cls in scenarios.values() for name in cls.Config.model_fields}
    known = known.union(*(cls.Config.model_fields.keys() & FLAGS for cls in ways.values()))
    for option in request.options:
        if option not in Training.model_fields and option not in known:
            names = ", ".join(sorted(scenarios))
            also = f", nor of the strategy {', '.join(sorted(ways))}" if ways else ""
            hint = "leave the flag out"
            if option in FLAGS:
                having = sorted(n for n, cls in every.items() if option in cls.Config.model_fields)
                hint += f", or choose one of the --strategies {', '.join(having)}"
            problems.add(f"{option} is no setting of the scenario {names}{also}; {hint}.")


def _check_sets(
    request: Request,
    methods: dict[str, type[Method]],
    scenarios: dict[str, type[Scenario]],
    ways: dict[str, type[Strategy]],
    problems: Problems,
) -> None:
    """A setting must be somebody's, and must not be two things at once."""
    kinds: dict[str, dict[str, type[Any]]] = {
        "method": {**methods},
        "strategy": {**ways},
        "scenario": {**scenarios},
    }
    fields_of = {
        kind: {n for cls in classes.values() for n in cls.Config.model_fields}
        for kind, classes in kinds.items()
    }
    plugins: dict[str, type[Any]] = {**scenarios, **ways, **methods}
    for key in request.sets:
        owner, _, bare = key.rpartition(".")
        if owner and owner not in plugins:
            chosen = suggestion(owner, plugins)
            problems.add(
                f"--set {key}: the method, strategy or scenario {owner!r} is not part of this run; "
                f"{chosen}"
            )
            continue
        fields = set(Training.model_fields) if owner in methods or not owner else set()
        if owner:
            fields |= plugins[owner].Config.model_fields.keys()
        else:
            fields = fields.union(*fields_of.values())
        having = [kind for kind, names in fields_of.items() if bare in names]
        if bare not in fields:
            of = f"{owner} has" if owner else "what was chosen has"
            problems.add(f"--set {key}: {of} no setting {bare!r}; {suggestion(bare, fields)}")
        elif not owner and len(having) > 1:
            problems.add(
                f"--set {key}: a {' and a '.join(having)} each have a setting {bare!r}: write "
                f"{' or '.join(f'{kind.upper()}.{bare}' for kind in having)}."
            )


def _with_whole_names(
    request: Request,
    known: dict[tuple[str, str], type[Scenario]],
    bench: Workbench,
) -> Request:
    """The request with flags of one value where commas are part of a domain's name."""
    options = dict(request.options)
    for key, values in request.options.items():
        for (dataset, _), scenario in known.items():
            if not isinstance(values, Swept) or not takes_text(scenario.Config, key):
                continue
            if key in scenario.lists:
                options[key] = values.text
                continue
            try:
                domains = bench.data(dataset).domains
            except UserError:  # said where the scenario is made
                continue
            if values.text in domains and not set(map(str, values)) <= set(domains):
                options[key] = values.text
    return request.model_copy(update={"options": options})


def _asked(request: Request, owner: str) -> Json:
    """What `--set` says for everybody, then what it says for a method or scenario alone."""
    parts = {key: key.rpartition(".") for key in request.sets}
    common = {bare: request.sets[key] for key, (of, _, bare) in parts.items() if not of}
    return common | {bare: request.sets[key] for key, (of, _, bare) in parts.items() if of == owner}


def _scenarios(
    request: Request,
    dataset: str,
    scenario: type[Scenario],
    bench: Workbench,
    problems: Problems,
) -> list[Scenario]:
    wanted = request.options | _asked(request, scenario.name)
    given = {k: v for k, v in wanted.items() if k in scenario.Config.model_fields}
    try:
        made = scenario(scenario.Config(**read(scenario.Config, given)))
        return list(made.expand(bench.data(dataset).domains))
    except ValidationError as error:
        _explain(error, f"scenario {scenario.name}", problems)
    except UserError as error:
        problems.add(f"{dataset}, {scenario.name}: {str(error).rstrip('.')}.")
    return []


def _cell(
    request: Request,
    method: type[Method],
    strategy: type[Strategy] | None,
    place: _Place,
    problems: Problems,
) -> Cell | None:
    name, wanted = method.name, _asked(request, method.name)
    asked = {k: v for k, v in (request.options | wanted).items() if k in Training.model_fields}
    training = defaults.training(place.backbone, type(place.scenario))
    settings = defaults.settings(place.backbone, method)
    settings |= {k: v for k, v in wanted.items() if k in method.Config.model_fields}
    of = f"method {name}"
    try:
        resolved, travel = _resolved(method.Config, settings), {}
        if strategy is not None:
            of = f"strategy {strategy.name}"
            travel = _travelling(request, strategy)
        of = "training"
        trained = Training(**training | read(Training, asked))
        return Cell(
            method=name,
            settings=resolved,
            **travel,
            dataset=place.dataset,
            scenario=place.scenario.name,
            scenario_settings=place.scenario.config.model_dump(mode="json"),
            training=trained,
            backbone=place.backbone,
            seed=place.seed,
        )
    except ValidationError as error:
        _explain(error, of, problems)
        return None


def _travelling(request: Request, strategy: type[Strategy]) -> Json:
    """The fields of a cell that say how its method travels; validation may raise."""
    wanted = _asked(request, strategy.name)
    flags = {k: v for k, v in request.options.items() if k in FLAGS}
    given = {k: v for k, v in (flags | wanted).items() if k in strategy.Config.model_fields}
    resolved = _resolved(strategy.Config, given)
    return {"strategy": strategy.name, "strategy_settings": resolved}


def _resolved(config: type[Settings], given: Json) -> Json:
    """Every setting with its value; validation may raise."""
    return config(**read(config, given)).model_dump(mode="json")


def _explain(error: ValidationError, of: str, problems: Problems) -> None:
    for sentence in refusals(error, of):
        problems.add(sentence)

"""What is tried before anything starts: a method's start, what a strategy would carry, splits, and
the runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from fplbench import rng
from fplbench.engine import newcomers
from fplbench.engine.by_image import is_mean
from fplbench.engine.fit import setup_of
from fplbench.errors import UserError
from fplbench.features.stock import Workbench
from fplbench.grid import defaults
from fplbench.grid.validation import held_out
from fplbench.method import Method, Round, Task, Tensors
from fplbench.plugins.base import one_line
from fplbench.spec import OWN, Cell
from fplbench.split.check import faults
from fplbench.split.options import clients_of
from fplbench.strategy import Strategy, learner_of

FEW = 4
"""Classes on which methods are tried, if there are as many."""


@dataclass
class Problems:
    """Sentences collected until all of a request has been looked at."""

    sentences: list[str] = field(default_factory=list)

    def add(self, error: UserError | str) -> None:
        text = str(error)
        if text not in self.sentences:
            self.sentences.append(text)

    def refuse(self) -> None:
        if self.sentences:
            raise UserError("\n".join(self.sentences))


@torch.no_grad()
def try_starts(
    cells: list[Cell], methods: dict[str, type[Method]], bench: Workbench, problems: Problems
) -> None:
    """Let each method make the tensors and the text features that it starts from, since a tower or
    other settings may rule a setting out."""
    tried = set()
    for cell in cells:
        key = (cell.method, json.dumps(cell.settings), cell.backbone)
        if key in tried:
            continue
        tried.add(key)
        kind = methods[cell.method]
        few = np.arange(len(bench.data(cell.dataset).classnames))[:FEW]
        task = bench.task_for(cell.backbone, cell.dataset)(few)
        try:
            made = kind(kind.Config(**cell.settings))
            made.encode(_begun(made, task)[0], task)
        except UserError as error:
            problems.add(error)
        except Exception as error:  # whatever a method's code raises there
            usual = kind.Config(**defaults.settings(cell.backbone, kind)).model_dump(mode="json")
            changed = {n: v for n, v in cell.settings.items() if v != usual[n]}
            what = ", ".join(f"{name}={value}" for name, value in changed.items())
            todo = "change that" if changed else f"look with `fplbench exam {cell.method}`"
            problems.add(
                f"{cell.method} cannot start with {what or 'its defaults'} on {cell.backbone} "
                f"({one_line(error)}): {todo}."
            )


def try_strategies(
    cells: list[Cell],
    methods: dict[str, type[Method]],
    ways: dict[str, type[Strategy]],
    bench: Workbench,
    problems: Problems,
) -> None:
    """Ask each strategy about the tensors that it is to carry."""
    tried = set()
    for cell in cells:
        settings = json.dumps([cell.settings, cell.strategy_settings])
        key = (cell.method, cell.strategy, settings, cell.backbone)
        if cell.strategy == OWN or key in tried:
            continue
        tried.add(key)
        kind, way = methods[cell.method], ways[cell.strategy]
        learner = kind(kind.Config(**cell.settings))
        classes = np.arange(len(bench.data(cell.dataset).classnames))
        task_of = bench.task_for(cell.backbone, cell.dataset)
        specs = learner.init(task_of(classes), rng.generator(cell.seed, "init"))
        made = way(way.Config(**cell.strategy_settings), learner)
        few = task_of(classes[:FEW])
        why = made.refusal(specs)
        if why is None and (missed := _missed(made, few)):
            why = f"it needs {' and '.join(sorted(missed))} as received, and is not sent all of it"
        if why is None and made.by_image and not is_mean(learner, few):
            why = "its loss is no mean over images, of which it takes one at a time"
        if why is not None:
            problems.add(f"{cell.method} does not go with the strategy {cell.strategy}: {why}.")


class _Received(dict[str, Tensor]):
    """What a client received, which notes what is asked for and did not come as its model has it;
    the model's own tensor stands in for that."""

    def __init__(self, received: Tensors, params: Tensors) -> None:
        super().__init__(received)
        self.params, self.missing = params, set[str]()

    def __getitem__(self, name: str) -> Tensor:
        own = self.params.get(name)
        if own is None or (name in self and super().__getitem__(name).shape == own.shape):
            return super().__getitem__(name)  # what only the server has is no part of the model
        self.missing.add(name)
        return own


@torch.no_grad()
def _missed(made: Strategy, task: Task) -> set[str]:
    """The tensors that the learner needs as they were received, and that the strategy does not
    send whole; of one client's first round."""
    missing: set[str] = set()
    prepare = made.learner.prepare

    def watched(params: Tensors, received: Tensors, task: Task) -> Tensors:
        seen = _Received(received, params)
        found = prepare(params, seen, task)
        missing.update(seen.missing)
        return found

    made.learner.prepare = watched  # type: ignore[method-assign]  # the learner is this trial's
    params, received = _begun(made, task)
    made.prepare(params, received, task)
    return missing


def _begun(method: Method, task: Task) -> tuple[Tensors, Tensors]:
    """The tensors of one client in the first round, and what it received."""
    specs = method.init(task, torch.Generator().manual_seed(0))
    one = torch.ones(1, dtype=torch.long)
    shared = tuple(name for name, spec in specs.items() if spec.shared)
    first = Round(1, 0 * one, one, 0 * one, shared, lambda *_: torch.Generator(), 1)
    place = task.logit_scale.device
    sent = method.download(method.begin(specs, 1), first)
    received = {name: tensor.to(place) for name, tensor in sent.items()}
    own = {name: spec.value[None].to(place) for name, spec in specs.items()}
    return method.merge(own, received), received


def try_runs(
    cells: list[Cell], sizes: Mapping[_Split, list[int]], bench: Workbench, problems: Problems
) -> None:
    """Ask each method, and the strategy around it, about the runs that it is for."""
    for cell in cells:
        made = bench.method(cell)
        parts = {type(part) for part in (made, learner_of(made))}
        if all(part.unfit is Method.unfit for part in parts):
            continue  # of very many clients it takes a while to know who takes part when
        made = made.set_up(setup_of(cell.seed, sizes[_split_of(cell)], cell.training))
        for why in (made.unfit(), learner_of(made).unfit()):
            if why is not None:
                problems.add(f"{cell.label()}: {why}.")


_Split = tuple[str, str, str, int, str, float]


def _split_of(cell: Cell) -> _Split:
    of_training = (cell.training.evaluate_on, cell.training.new_clients)
    settings = json.dumps(cell.scenario_settings)
    return (cell.dataset, cell.scenario, settings, cell.seed, *of_training)


def try_splits(cells: list[Cell], bench: Workbench, problems: Problems) -> dict[_Split, list[int]]:
    """Make each split once, so that one that cannot be made is refused before the first cell; how
    many training images each client has."""
    sizes: dict[_Split, list[int]] = {}
    tried = set()
    for cell in cells:
        key = _split_of(cell)
        if key in tried:
            continue
        tried.add(key)
        data, where = bench.data(cell.dataset), f"seed {cell.seed}"
        if cell.training.evaluate_on == "validation":
            data, where = held_out(data, cell.seed)[0], f"{where}, validation images held out"
        try:
            made = clients_of(bench.scenario(cell), data, cell.seed)
            sizes[key] = [len(rows) for rows in made.train_rows]
            newcomers.choose(len(sizes[key]), cell.training.new_clients, cell.seed)
            wrong = [f"the scenario breaks its contract: {fault}" for fault in faults(made, data)]
        except UserError as error:
            wrong = [str(error).rstrip(".")]
        for sentence in wrong:
            problems.add(f"{cell.dataset}, {cell.scenario}, {where}: {sentence}.")
    return sizes

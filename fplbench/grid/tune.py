"""Choosing settings: equally many draws for each method, on validation images and seeds apart.

The draws are cells like any others, so a search that was killed goes on, and a second one adds to
the first. What is chosen is a file, whose settings a run takes for its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from fplbench.errors import UserError
from fplbench.features.stock import Workbench
from fplbench.grid import searches, spaces
from fplbench.grid.jobs import Job
from fplbench.grid.run import with_ids
from fplbench.grid.searches import Search
from fplbench.grid.validation import held_out
from fplbench.method import Method
from fplbench.plugins.base import refusals, suggestion
from fplbench.records import summary
from fplbench.records.atomic import write_aside
from fplbench.records.phrases import and_
from fplbench.records.record import Record
from fplbench.records.store import Store
from fplbench.records.summary import leading
from fplbench.spec import OWN, Cell, Json, Request, Training
from fplbench.split.options import clients_of

NAME = "tuned.yaml"
VALIDATION: Json = {"evaluate_on": "validation", "evaluations": 1}
"""Of the cells of a search: nobody looks at their curves."""


class Choice(BaseModel):
    """What was found for a method. settings: not the defaults; none where the defaults won.
    draw: from 0, the defaults. found, defaults: the number by which it was chosen, of this draw and
    of the defaults (None where these diverged). diverged: how many draws did."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: dict[str, int | float | str]
    draw: int
    found: float
    defaults: float | None
    diverged: int


class Tuned(BaseModel):
    """A file of chosen settings. rule: how they were chosen, in the words of a caption."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str
    budget: int
    draw_seed: int
    tune_seeds: tuple[int, ...]
    methods: dict[str, Choice]


@dataclass(frozen=True)
class Trial:
    """A draw of a method with its cells, one for each data set and seed."""

    method: str
    number: int
    settings: Json
    jobs: Sequence[Job]


Draw = Callable[[type[Method], int, frozenset[str]], Json]
"""The settings of a method's draw, by its number; the names are of settings not searched."""


def trials(
    base: Sequence[Cell], asked: Request, bench: Workbench, numbers: range, draw: Draw
) -> list[Trial]:
    """The draws of every method, first draws first. base: cells with the defaults. What the user
    set (`asked`) is not searched."""
    found = []
    for number in numbers:
        for name in dict.fromkeys(cell.method for cell in base):
            kind = bench.methods.get(name)
            settings = draw(kind, number, _fixed(asked, name))
            cells = [_with(cell, kind, settings) for cell in base if cell.method == name]
            found.append(Trial(name, number, settings, with_ids(cells, bench)))
    return found


def drawing(found: Sequence[Trial], store: Store, seed: int, metric: str | None) -> Draw:
    """How the next draws are made: at random while none are found, then from those that are.

    UserError while a cell of these has no numbers.
    """
    scores = _scored(found, store, metric) if found else []

    def draw(kind: type[Method], number: int, fixed: frozenset[str]) -> Json:
        if not scores:
            return spaces.drawn(kind, number, seed, fixed)
        searched = spaces.searched(kind, fixed)
        past = [(_values(trial), score) for trial, score in scores if trial.method == kind.name]
        return searches.proposed(searched, past, searches.seed_of(seed, kind.name, number))

    return draw


def _values(trial: Trial) -> Json:
    """Every setting of a draw, those that it leaves at their defaults too."""
    cell = trial.jobs[0].cell
    return {**cell.training.model_dump(mode="json"), **cell.settings}


def _fixed(asked: Request, method: str) -> frozenset[str]:
    keys = [key.rpartition(".") for key in (*asked.options, *asked.sets)]
    return frozenset(bare for owner, _, bare in keys if owner in ("", method))


def _with(cell: Cell, kind: type[Method], settings: Json) -> Cell:
    """The cell with other settings of its method and its training."""
    own = {name: value for name, value in settings.items() if name in kind.Config.model_fields}
    others = {name: value for name, value in settings.items() if name not in own}
    try:
        config = kind.Config(**cell.settings | own)
        training = Training(**cell.training.model_dump() | others)
    except ValidationError as error:
        raise UserError("\n".join(refusals(error, f"method {kind.name}"))) from error
    return cell.model_copy(
        update={"settings": config.model_dump(mode="json"), "training": training}
    )


def complete(jobs: Sequence[Job], store: Store) -> bool:
    """Whether every cell has its numbers, or has diverged."""
    return all(store.status(job.id) in ("done", "diverged") for job in jobs)


def require_metric(metric: str | None, cells: Sequence[Cell], bench: Workbench) -> None:
    """UserError, before anything is computed, where no cell can have an accuracy of this name."""
    if metric is None:
        return
    known = set(summary.TITLES)
    for cell in {(cell.dataset, cell.scenario): cell for cell in cells}.values():
        scenario = bench.scenario(cell)
        made = clients_of(scenario, held_out(bench.data(cell.dataset), cell.seed)[0], cell.seed)
        exams = (*made.exams, *made.shared_exams)
        known |= {name for exam in exams for name in exam.questions}
        known |= {*scenario.titles, *scenario.headline}
    if metric not in known:
        raise UserError(
            f"--metric {metric}: no cell of this search has such an accuracy; "
            f"{suggestion(metric, known)}"
        )


def choose(found: Sequence[Trial], store: Store, budget: int, seed: int, seeds: Sequence[int],
           metric: str | None, search: Search = Search.random) -> Tuned:  # fmt: skip
    """The best draw of each method; ties go to the earlier draw. metric: by which; None for each
    scenario's leading one. A method all of whose draws diverged is left out.

    UserError while a cell has no numbers, or lacks the metric.
    """
    scores = _scored(found, store, metric)
    methods = {}
    for name in dict.fromkeys(trial.method for trial in found):
        mine = {trial.number: (trial, score) for trial, score in scores if trial.method == name}
        numbers = {number: score for number, (_, score) in mine.items() if score is not None}
        if not numbers:
            continue
        best = max(numbers, key=lambda number: (numbers[number], -number))
        methods[name] = Choice(
            settings=mine[best][0].settings,
            draw=best,
            found=round(numbers[best], 3),
            defaults=round(numbers[0], 3) if 0 in numbers else None,
            diverged=len(mine) - len(numbers),
        )
    records = (store.find(job.id) for trial in found for job in trial.jobs)
    done = [one for one in records if one is not None and one.status == "done"]
    return Tuned(
        rule=_rule(done, search, budget, seed, seeds, metric),
        budget=budget,
        draw_seed=seed,
        tune_seeds=tuple(seeds),
        methods=methods,
    )


def _scored(
    found: Sequence[Trial], store: Store, metric: str | None
) -> list[tuple[Trial, float | None]]:
    """Each draw with its number, None where a cell of it diverged. UserError while a cell has no
    numbers, or lacks the metric."""
    records = {job.id: store.find(job.id) for trial in found for job in trial.jobs}
    left = [name for name, one in records.items() if one is None or one.status == "failed"]
    if left:
        raise UserError(
            f"{len(left)} of {len(records)} cells have no numbers, so nothing was chosen: the same "
            "command goes on, --retry-failed tries what failed again."
        )
    known = {name: one for name, one in records.items() if one is not None}
    return [(trial, _score([known[job.id] for job in trial.jobs], metric)) for trial in found]


def _score(records: Sequence[Record], metric: str | None) -> float | None:
    """The mean over data sets and seeds, each alike; None where a cell diverged."""
    if any(record.status != "done" for record in records):
        return None
    return sum(record.metrics[_by(record, metric)].mean for record in records) / len(records)


def _by(record: Record, metric: str | None) -> str:
    """The metric by which a cell is judged."""
    name = metric or leading(record.headline, record.metrics)
    if name is None or name not in record.metrics:
        raise UserError(
            f"{record.method} on {record.dataset} has no metric {name or 'at all'} to choose by; "
            f"it has {', '.join(record.metrics)}: name one that all methods have with --metric."
        )
    return name


def _rule(
    done: Sequence[Record],
    search: Search,
    budget: int,
    seed: int,
    seeds: Sequence[int],
    metric: str | None,
) -> str:
    places = dict.fromkeys((one.dataset, one.scenario, _by(one, metric)) for one in done)
    names = and_(list(dict.fromkeys(name for *_, name in places)))
    where = and_([f"{dataset} ({scenario})" for dataset, scenario, _ in places])
    how = sorted({f", travelling by {one.strategy}" for one in done if one.strategy != OWN})
    return (
        f"{search.words()} with draw seed {seed}, {budget} settings a method, the defaults among "
        f"them; the highest mean {names} after the last round on validation images of {where}, "
        f"backbone {and_(sorted({one.backbone for one in done}))}{''.join(how)}, over "
        f"{'seeds' if len(seeds) > 1 else 'seed'} {and_([str(seed) for seed in seeds])}; ties to "
        "the earlier draw"
    )


def write(tuned: Tuned, folder: Path) -> Path:
    """The file of what was chosen."""
    path = folder / NAME
    text = yaml.safe_dump(tuned.model_dump(mode="json"), sort_keys=False, width=100)
    head = "# Written by `fplbench tune`; `fplbench run --tuned` takes it.\n"
    with write_aside(path) as file:
        file.write((head + text).encode())
    return path


def read(path: Path) -> Tuned:
    """UserError where there is no such file, or another one."""
    try:
        return Tuned.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError) as error:
        why = " ".join(str(error).split())
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            why = f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
        raise UserError(f"{path} is no file that `fplbench tune` wrote ({why}).") from error


def applied(request: Request, tuned: Tuned, path: Path) -> Request:
    """The request with the chosen settings of its methods, and the rule, which the records keep.

    UserError where a seed of the run chose the settings, where a method was not tuned, and where
    the user sets what was chosen.
    """
    both = sorted({*request.seeds} & {*tuned.tune_seeds})
    if both:
        raise UserError(
            f"Seed {both[0]} chose the settings of {path}: a result on it would be too good. Run "
            f"other seeds than {and_([str(seed) for seed in tuned.tune_seeds])}."
        )
    untuned = [name for name in request.methods if name not in tuned.methods]
    if untuned:
        raise UserError(
            f"{path} has no settings of {', '.join(untuned)}; it has {', '.join(tuned.methods)}: "
            "run the others without --tuned, into the same folder."
        )
    sets: dict[str, Any] = {}
    for name in request.methods:
        chosen: Mapping[str, Any] = tuned.methods[name].settings
        twice = sorted(_fixed(request, name) & chosen.keys())
        if twice:
            raise UserError(f"{twice[0]} of {name} is in {path}: set it there, or leave it out.")
        sets |= {
            f"{name}.{key}": value for key, value in {**chosen, "chosen_by": tuned.rule}.items()
        }
    return request.model_copy(update={"sets": request.sets | sets})

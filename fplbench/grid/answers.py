"""How many answers cells will give, before they are run: the size of their predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence

from fplbench.engine import newcomers
from fplbench.features.stock import Workbench
from fplbench.grid.validation import held_out
from fplbench.records.predictions import ROW
from fplbench.spec import Cell
from fplbench.split.options import clients_of


def most_bytes(cells: Sequence[Cell], bench: Workbench) -> int:
    """What the predictions of all cells take before they are compressed, where methods support
    every question."""
    known: dict[str, int] = {}
    for cell in cells:
        if (key := _asked(cell)) not in known:
            known[key] = _answers(cell, bench)
    return ROW * sum(known[_asked(cell)] for cell in cells)


def _asked(cell: Cell) -> str:
    """Alike for cells whose clients are asked the same."""
    told = cell.training
    training = (told.evaluate_on, told.new_clients, told.evaluated_clients)
    return json.dumps([cell.dataset, cell.scenario, cell.scenario_settings, cell.seed, training])


def _answers(cell: Cell, bench: Workbench) -> int:
    """Questions times the images that count for them; new clients are asked twice."""
    data = bench.data(cell.dataset)
    if cell.training.evaluate_on == "validation":
        data, _, _ = held_out(data, cell.seed)
    made = clients_of(bench.scenario(cell), data, cell.seed)
    count = len(made.train_rows)
    new, others = newcomers.choose(count, cell.training.new_clients, cell.seed)
    asked = cell.training.evaluated_clients
    later, trained = (newcomers.sample(part, asked, cell.seed).numpy() for part in (new, others))
    mine = [question for exam in made.exams for question in exam.questions.values()]
    alone = [question for exam in made.shared_exams for question in exam.questions.values()]
    total = sum(question.counts.sum() for question in alone)
    total += sum(q.counts[trained].sum() + 2 * q.counts[later].sum() for q in mine)
    return int(total)

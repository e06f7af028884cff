"""Membership inference on cells that have records: their federations, trained again on halves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from fplbench import rng
from fplbench.engine.chunks import plan_chunk
from fplbench.engine.fit import run_round
from fplbench.engine.membership import Leak, halves, judged, log_odds
from fplbench.errors import UserError
from fplbench.features.stock import Workbench
from fplbench.grid.runner import federation_of
from fplbench.grid.validation import on_validation
from fplbench.machine import process
from fplbench.plugins.base import Fact
from fplbench.spec import Cell
from fplbench.split.options import clients_of
from fplbench.strategy import Strategy


def attacked(
    cells: Sequence[tuple[str, Cell]], bench: Workbench, runs: int, told: Callable[[str], None]
) -> pd.DataFrame:
    """A row for each cell, by its id: see `leak`. told: called with what is being done."""
    rows: list[dict[str, object]] = []
    for name, cell in cells:
        label = cell.label()

        def done(number: int, label: str = label) -> None:
            told(f"{label}: {number} of {runs} federations")

        found, facts = leak(cell, bench, runs, done)
        rows.append(
            {
                "id": name,
                "cell": label,
                "epsilon": facts["epsilon"].value if "epsilon" in facts else None,
                "loss": found.loss.mean(),
                "loss_std": found.loss.std(ddof=1),
                "likelihood": found.likelihood.mean(),
                "likelihood_std": found.likelihood.std(ddof=1),
                "images": found.images,
                "federations": runs,
            }
        )
    return pd.DataFrame(rows)


def leak(
    cell: Cell, bench: Workbench, runs: int, told: Callable[[int], None]
) -> tuple[Leak, dict[str, Fact]]:
    """What `runs` federations of a cell leak, and what its strategy says of the run of a half: a
    budget is spent anew there. told: called with how many have been trained.

    UserError: the strategy refuses the halves, or there are clients that take no part.
    """
    if cell.training.new_clients:
        raise UserError(
            f"{cell.label()} has new clients, whom each federation would draw for itself: attack a "
            "cell without --new-clients"
        )
    data = bench.data(cell.dataset)
    train = bench.images(
        cell.backbone, cell.dataset, "train", bench.method(cell).inputs, cell.training.views
    )
    if cell.training.evaluate_on == "validation":
        data, train, _ = on_validation(data, train, cell.seed)
    clients = clients_of(bench.scenario(cell), data, cell.seed)
    found = []
    facts: dict[str, Fact] = {}
    for number in range(runs):
        rows = halves(clients, cell.seed, number)
        # Noise, batches and starts are each federation's own: an attacker knows no target's draws.
        seed = rng.derive(cell.seed, "membership", number)
        half = replace(clients, train_rows=rows)
        federation = federation_of(cell, bench, bench.method(cell), half, train, seed)
        if isinstance(federation.method, Strategy):
            why = federation.method.unfit()
            if why is not None:
                raise UserError(f"{cell.label()}, on half of its images: {why}.")
            facts = federation.method.facts()
        with process.matrix_products(cell.training.precision):
            chunk = plan_chunk(federation, cell.training)
            for index in range(1, cell.training.rounds + 1) if federation.trained else ():
                run_round(federation, cell.training, index, chunk)
            phi = log_odds(federation, clients, cell.training, chunk)
        trained = federation.taking_part.tolist()
        inside = [np.isin(clients.train_rows[client], rows[client]) for client in trained]
        found.append((phi, np.concatenate(inside)))
        told(number + 1)
    return judged(found), facts

"""Where `fplbench tune` has its draws from: at random, or from the draws before them.

The second is a tree-structured Parzen estimator (TPE; Bergstra, Bardenet, Bengio and Kégl, NIPS
2011) as optuna has it, each setting by itself. A proposal hangs on nothing but the draws before it,
their numbers and its own place in the search, so a search that was killed proposes the same again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from fplbench import rng
from fplbench.errors import UserError
from fplbench.spec import Json

if TYPE_CHECKING:  # imports torch by way of the method
    from fplbench.grid.spaces import Space, Spaces

AT_RANDOM = 10
"""The first draws are those of the random search: the estimator needs some to start from, and this
is optuna's own number."""
AT_ONCE = 5
"""Draws that are proposed from the same past, so that a machine with many places has work. A number
and not the machine's, because it decides what is proposed."""

Past = Sequence[tuple[Json, float | None]]
"""Draws with a value for each setting searched, and what is to be high; None of one that diverged,
which counts as worse than all that have a number."""


class Search(StrEnum):
    """How settings are drawn."""

    random = "random"
    tpe = "tpe"

    def batches(self, budget: int) -> list[range]:
        """The numbers of the draws, those together of which none hangs on another's cells."""
        starts = [0, *range(AT_RANDOM, budget, AT_ONCE)] if self is Search.tpe else [0]
        return [range(a, b) for a, b in zip(starts, [*starts[1:], budget], strict=True)]

    def require(self, budget: int) -> None:
        """UserError where it cannot draw, or has nothing to draw."""
        if self is Search.random:
            return
        require_optuna()
        if budget <= AT_RANDOM:
            raise UserError(
                f"--search tpe draws its first {AT_RANDOM} settings at random, so --budget {budget}"
                f" leaves nothing for it: give {AT_RANDOM + 1} or more, or leave --search out."
            )

    def words(self) -> str:
        """For the rule that chose."""
        if self is Search.random:
            return "random search"
        return f"TPE (optuna {require_optuna().__version__}) after {AT_RANDOM} draws at random"


def require_optuna() -> Any:
    """The module; UserError where the extra is not installed."""
    try:
        import optuna
    except ImportError as error:
        need = "--search tpe needs the extra: pip install 'fplbench[optuna]'."
        raise UserError(need) from error
    optuna.logging.set_verbosity(logging.WARNING)
    return optuna


def proposed(spaces: Spaces, past: Past, seed: int) -> Json:
    """A value of each space. past: draws of the same spaces; one that lies outside of them (the
    defaults of a plug-in may) says nothing. seed: of this draw."""
    optuna = require_optuna()
    states = optuna.trial.TrialState
    where = {name: _distribution(space) for name, space in spaces.items()}
    # One trial is enough for it to look at the past: who calls has made draws at random before.
    sampler = optuna.samplers.TPESampler(n_startup_trials=1, seed=seed % 2**32)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for settings, value in past:
        if all(_holds(spaces[name], settings[name]) for name in spaces):
            params = {name: settings[name] for name in spaces}
            state = states.PRUNED if value is None else states.COMPLETE
            study.add_trial(
                optuna.trial.create_trial(
                    state=state, value=value, params=params, distributions=where
                )
            )
    found = study.ask(where).params
    return {name: space.readable(found[name]) for name, space in spaces.items()}


def seed_of(draw_seed: int, method: str, number: int) -> int:
    """The seed of a method's draw."""
    return rng.derive(draw_seed, "tune", "tpe", method, number)


def _holds(space: Space, value: Any) -> bool:
    if space.values:
        return value in space.values
    low, high = space.ends
    return bool(low <= value <= high)


def _distribution(space: Space) -> Any:
    distributions = require_optuna().distributions
    if space.values:
        return distributions.CategoricalDistribution(space.values)
    low, high = space.ends
    return distributions.FloatDistribution(low, high, log=space.log)

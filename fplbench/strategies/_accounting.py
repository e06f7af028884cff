"""What noise buys: epsilon at delta of Gaussian noise on clipped sums, by dp-accounting's Renyi
accountant (Mironov, CSF 2017)."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from pydantic import Field

from fplbench.errors import UserError
from fplbench.method import Settings
from fplbench.strategy import Fact

USUAL = 1.0
"""The noise where neither noise nor epsilon is named."""
FINE, LEAST = 1e-4, 0.01
"""How near the noise that is found is to the least that will do, and where the search begins."""
ORDERS = (*range(2, 33), *range(36, 65, 4), 96, 128, 256)
"""Of the Renyi divergence. Any of them bounds epsilon, so fewer are looser and never wrong; where
the library computes fractional ones its series may not converge."""


@dataclass(frozen=True)
class FixedSample:
    """A sum over `drawn` of `total` records, drawn without replacement, released `times` times.

    Two data sets are neighbours where one record is replaced by another, so that the sum of
    records clipped to S moves by up to 2 S.
    """

    total: int
    drawn: int
    times: int


@dataclass(frozen=True)
class PoissonSample:
    """A sum in which each record is with probability `share`, released `times` times.

    Two data sets are neighbours where one has a record more, so that the sum moves by up to S.
    """

    share: float
    times: int


Release = FixedSample | PoissonSample


class Budget(Settings):
    """The settings of a strategy with Gaussian noise on clipped sums."""

    clip: float = Field(gt=0)
    noise: float | None = Field(
        None,
        ge=0,
        description="z: the noise on a sum has standard deviation z times the clipping norm; 0: "
        "none, and no privacy. None: what epsilon needs, or 1, the z of McMahan et al., ICLR 2018, "
        "table 1.",
    )
    epsilon: float | None = Field(
        None,
        gt=0,
        description="The privacy budget, from which the noise is found. None: see noise.",
    )
    delta: float = Field(
        1e-5,
        gt=0,
        lt=1,
        description="The probability with which the budget may fail. 1e-5: Abadi et al., CCS 2016, "
        "section 5.",
    )


def noise_of(budget: Budget, releases: Sequence[Release]) -> float:
    """z of these settings in this run; see `Budget`."""
    if budget.epsilon is None:
        return USUAL if budget.noise is None else budget.noise
    if not releases:
        raise ValueError("which noise a budget takes follows from the run: set_up comes first")
    return noise_for(tuple(releases), budget.epsilon, budget.delta)


def unfit(budget: Budget, releases: Sequence[Release]) -> str | None:
    """Why these settings are none, as a clause."""
    if budget.epsilon is not None and budget.noise is not None:
        return "epsilon and noise are both named, and each decides the other: leave one of them out"
    if noise_of(budget, releases) > 0:
        _library()
    return None


def facts(
    budget: Budget, releases: Sequence[Release], protects: str, assumed: str
) -> dict[str, Fact]:
    """What a record says of a budget. protects: whose data count as one record; assumed: a
    sentence."""
    noise = noise_of(budget, releases)
    if not noise:
        return {"privacy": Fact(title="privacy", value="none, without noise")}
    epsilon = epsilon_of(tuple(releases), noise, budget.delta)
    by = f"dp-accounting {importlib.metadata.version('dp-accounting')}, RdpAccountant"
    return {
        "epsilon": Fact(title="epsilon", value=round(epsilon, 6), axis=True),
        "delta": Fact(title="delta", value=budget.delta),
        "protects": Fact(title="protects", value=protects),
        "noise": Fact(title="noise multiplier", value=round(noise, 6)),
        "accountant": Fact(title="accountant", value=by, meaning=assumed),
    }


def epsilon_of(releases: tuple[Release, ...], noise: float, delta: float) -> float:
    """The largest epsilon at delta of any of them; each is of other data. noise: z > 0."""
    return max(_epsilon(release, noise, delta) for release in set(releases))


@lru_cache(maxsize=256)
def noise_for(releases: tuple[Release, ...], epsilon: float, delta: float) -> float:
    """The least z, to FINE, with at most this epsilon at delta; any budget has one."""
    library = _library()
    left, noise = set(releases), 0.0
    while left:
        # The hungriest decides; another one may be that at another noise.
        worst = max(left, key=lambda release: _epsilon(release, noise or USUAL, delta))
        if not noise or _epsilon(worst, noise, delta) > epsilon:
            noise = _least(library, worst, epsilon, delta)
        left.discard(worst)
    return noise


def _least(library: ModuleType, release: Release, epsilon: float, delta: float) -> float:
    if _epsilon(release, LEAST, delta) <= epsilon:
        return LEAST
    found = library.calibrate_dp_mechanism(
        lambda: _accountant(release),
        lambda z: _event(release, z),
        epsilon,
        delta,
        library.LowerEndpointAndGuess(LEAST, USUAL),
        tol=FINE,
    )
    return float(found)


@lru_cache(maxsize=4096)
def _epsilon(release: Release, noise: float, delta: float) -> float:
    event = _event(release, noise)
    return float(_accountant(release).compose(event).get_epsilon(delta))


def _accountant(release: Release) -> Any:
    """A fresh RdpAccountant for this kind of neighbours."""
    library = _library()
    kinds = library.NeighboringRelation
    fixed = isinstance(release, FixedSample)
    return library.rdp.RdpAccountant(
        ORDERS, kinds.REPLACE_ONE if fixed else kinds.ADD_OR_REMOVE_ONE
    )


def _event(release: Release, noise: float) -> Any:
    """The DpEvent of all of a run's releases."""
    library = _library()
    if isinstance(release, PoissonSample):
        once = library.PoissonSampledDpEvent(release.share, library.GaussianDpEvent(noise))
    else:
        # There the library's multiplier is over the sensitivity, 2 S, and ours over S.
        halved = library.GaussianDpEvent(noise / 2)
        once = library.SampledWithoutReplacementDpEvent(release.total, release.drawn, halved)
    return library.SelfComposedDpEvent(once, release.times)


def _library() -> ModuleType:
    """dp-accounting, imported when a budget is first asked about: it takes seconds."""
    try:
        import dp_accounting
    except ImportError as error:
        raise UserError(
            "A privacy budget is computed by dp-accounting, which is not installed: "
            "pip install 'fplbench[privacy]'."
        ) from error
    library: ModuleType = dp_accounting
    return library

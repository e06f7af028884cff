"""Privacy arithmetic against published values and the library's other accountant."""

from __future__ import annotations

import math
import sys

import dp_accounting
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from fplbench.errors import UserError
from fplbench.plugins import registry
from fplbench.spec import Setup, Training
from fplbench.strategies import _accounting
from fplbench.strategies._accounting import (
    FINE,
    FixedSample,
    PoissonSample,
    epsilon_of,
    noise_for,
)

REPLACE = dp_accounting.NeighboringRelation.REPLACE_ONE
ADD = dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE


def moments(share: float, noise: float, times: int, delta: float = 1e-5) -> float:
    """As the moments accountant of 2016 turns moments into epsilon (Abadi et al., theorem 2), of
    the Renyi divergences that ours rests on."""
    accountant = RdpAccountant(_accounting.ORDERS, ADD)
    accountant.compose(_accounting._event(PoissonSample(share, times), noise))
    pairs = zip(accountant.orders, accountant.rdp, strict=True)
    return min(rdp + math.log(1 / delta) / (order - 1) for order, rdp in pairs)


@pytest.mark.parametrize(
    ("share", "noise", "times", "published"),
    [
        # Abadi et al., CCS 2016, section 3.2: q 0.01, sigma 4, 10,000 steps.
        (0.01, 4.0, 10_000, 1.26),
        # Bu et al., Deep Learning with Gaussian Differential Privacy, figure 4: MNIST, 20 epochs.
        (256 / 60_000, 1.3, 20 * 60_000 // 256, 1.34),
    ],
)
def test_published_values_of_epsilon(
    share: float, noise: float, times: int, published: float
) -> None:
    assert moments(share, noise, times) == pytest.approx(published, abs=0.01)
    release = PoissonSample(share, times)
    ours = epsilon_of((release,), noise, 1e-5)
    tight = PLDAccountant(ADD).compose(_accounting._event(release, noise)).get_epsilon(1e-5)
    # A later conversion (Canonne et al., 2020) gives less, and never less than is spent.
    assert tight < ours < published


def test_one_client_replaced_by_another_moves_a_sum_by_twice_the_norm() -> None:
    """The library's accountant of privacy loss distributions knows that, its Renyi one is told."""
    gaussian = dp_accounting.GaussianDpEvent(3.0)
    tight = PLDAccountant(REPLACE).compose(gaussian).get_epsilon(1e-5)
    unaware = RdpAccountant(_accounting.ORDERS, REPLACE).compose(gaussian).get_epsilon(1e-5)
    ours = epsilon_of((FixedSample(10, 10, 1),), 3.0, 1e-5)
    assert unaware < tight < ours < 1.1 * tight


def test_a_sample_without_replacement_hides_a_client_and_rounds_wear_it_out() -> None:
    spent = [epsilon_of((FixedSample(100, m, 20),), 4.0, 1e-5) for m in (10, 50, 100)]
    assert spent == sorted(spent)
    assert spent[0] < spent[-1] / 3
    assert epsilon_of((FixedSample(100, 10, 80),), 4.0, 1e-5) > 1.5 * spent[0]


@pytest.mark.parametrize("release", [FixedSample(100, 20, 10), PoissonSample(0.1, 300)])
@pytest.mark.parametrize("epsilon", [0.5, 8.0])
def test_the_noise_found_is_the_least_that_will_do(
    release: FixedSample | PoissonSample, epsilon: float
) -> None:
    noise = noise_for((release,), epsilon, 1e-5)
    assert epsilon_of((release,), noise, 1e-5) <= epsilon
    assert epsilon_of((release,), noise - 3 * FINE, 1e-5) > epsilon


def test_the_client_with_the_least_protection_decides() -> None:
    few, many = PoissonSample(1.0, 20), PoissonSample(0.05, 200)
    noise = noise_for((many, few, many), 2.0, 1e-5)
    assert noise == noise_for((few,), 2.0, 1e-5)
    assert epsilon_of((many,), noise, 1e-5) < epsilon_of((few, many), noise, 1e-5) <= 2.0


def test_without_the_library_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    kind, learner = registry.strategies().get("dp-fedavg"), registry.methods().get("promptfl")
    made = kind(kind.Config(), learner(learner.Config()))
    setup = Setup(0, (5, 5), (3, 3), (0, 1), 2, Training(rounds=3))
    with pytest.raises(UserError, match=r"dp-accounting, which is not installed: pip install"):
        made.set_up(setup).unfit()

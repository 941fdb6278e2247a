import math

import numpy as np
import pytest
from scipy import stats

from abtest.statistics import spending
from abtest.statistics.crossing import crossing

FIVE = [0.2, 0.4, 0.6, 0.8, 1.0]
FOURTHS, SPENT = [0.25, 0.5, 0.75, 1.0], [0.01, 0.02, 0.03, 0.05]


@pytest.mark.parametrize(
    ("fractions", "alpha", "name", "sides", "published"),
    [
        # Lan and DeMets's tables (ldbounds, gsDesign)
        (FIVE, 0.05, "obrien_fleming", 2, [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
        (FIVE, 0.05, "pocock", 2, [2.4380, 2.4268, 2.4102, 2.3966, 2.3860]),
        # rpact's own tests: seven digits, one-sided, uneven looks
        ([1 / 3, 2 / 3, 1], 0.03, "obrien_fleming", 1, [3.5815302, 2.417863, 1.9175839]),
        ([0.2, 0.4, 1.0], 0.03, "kim_demets_1", 1, [2.5121443, 2.4228747, 2.0280392]),
        ([0.3, 0.7, 1.0], 0.03, spending.kim_demets(2.2), 1, [2.8594012, 2.2435708, 1.9735737]),
        (FOURTHS, 0.05, lambda t, a: np.interp(t, FOURTHS, SPENT), 1, [2.3263479, 2.2192994, 2.1201347, 1.8189562]),
    ],
)  # fmt: skip
def test_agrees_with_published_tables(
    fractions: list[float], alpha: float, name: str | spending.Spending, sides: spending.Sides, published: list[float]
) -> None:
    found = spending.boundaries(fractions, alpha, name, sides)
    # the older tables are good to a unit or two of their last digit
    np.testing.assert_allclose(found, published, rtol=0, atol=1.5e-4 if len(fractions) == 5 else 2e-7)


def test_classical_constants_are_the_published_ones() -> None:
    # Jennison and Turnbull (2000), tables 2.1 and 2.3
    assert [round(spending.classical(k, shape=0.5), 3) for k in (2, 5, 10)] == [2.178, 2.413, 2.555]
    assert [round(spending.classical(k, shape=0.0), 3) for k in (2, 5, 10)] == [1.977, 2.04, 2.087]


def test_power_inflation_and_expected_sample_agree_with_rpact() -> None:
    looks = [0.2, 0.4, 1.0]
    bounds = spending.boundaries(looks, 0.03, "kim_demets_1", 1)
    more, drift = spending.inflation(looks, 0.03, 0.86, "kim_demets_1", 1), spending.drift_for(looks, bounds, 0.86, 1)
    assert more == pytest.approx(1.0788327, abs=2e-7)
    assert drift**2 == pytest.approx(9.4594102, abs=1e-6)
    assert crossing(looks, bounds, drift=drift).upper.cumsum() == pytest.approx(
        [0.12783451, 0.34055165, 0.86], abs=1e-7
    )
    assert more * spending.expected_share(looks, bounds, drift, 1) == pytest.approx(0.83081135, abs=1e-7)
    assert more * spending.expected_share(looks, bounds, 0.0, 1) == pytest.approx(1.0697705, abs=1e-7)


@pytest.mark.parametrize("name", spending.SPENDING)
@pytest.mark.parametrize("sides", [1, 2])
def test_the_boundaries_spend_just_what_may_be_spent(name: str, sides: spending.Sides) -> None:
    looks = np.array([0.01, 0.05, 0.3, 0.301, 0.8, 1.0])
    bounds = spending.boundaries(looks, 0.05, name, sides)
    left = crossing(looks, bounds, -bounds if sides == 2 else None).total.cumsum()
    np.testing.assert_allclose(left, spending.alpha_spent(looks, 0.05, name, sides), rtol=1e-9, atol=1e-300)
    assert left[-1] == pytest.approx(0.05, rel=1e-9)


def test_two_looks_are_a_bivariate_normal() -> None:
    joint = stats.multivariate_normal(mean=[0.0, 0.0], cov=[[1.0, math.sqrt(0.4)], [math.sqrt(0.4), 1.0]])
    inside = joint.cdf([2.5, 2.0], lower_limit=[-2.5, -2.0])
    assert crossing([0.4, 1.0], [2.5, 2.0], [-2.5, -2.0]).total.sum() == pytest.approx(1.0 - inside, abs=1e-7)


def test_simulated_walks_leave_as_often_as_computed(rng: np.random.Generator) -> None:
    looks, drift, runs = np.arange(1, 15) / 14, 2.0, 40_000
    bounds = spending.boundaries(looks, 0.05, "pocock")
    walk = (rng.normal(0.0, math.sqrt(1 / 14), (runs, 14)) + drift / 14).cumsum(axis=1) / np.sqrt(looks)
    share = (np.abs(walk) >= bounds).any(axis=1).mean()
    assert share == pytest.approx(spending.power(looks, bounds, drift), abs=4 * 0.5 / math.sqrt(runs))


def test_twenty_eight_daily_looks_keep_the_power() -> None:
    looks = np.arange(1, 29) / 28
    assert spending.power(looks, spending.boundaries(looks), 2.8016) > 0.775
    assert spending.power(looks, spending.boundaries(looks, spending="pocock"), 2.8016) == pytest.approx(0.69, abs=0.01)


def test_one_look_is_the_fixed_test() -> None:
    assert spending.boundaries([1.0])[0] == pytest.approx(1.959963984540054, rel=1e-12)
    assert spending.inflation([1.0]) == pytest.approx(1.0)
    assert spending.nominal_p([1.959963984540054])[0] == pytest.approx(0.05)


def test_an_end_short_of_the_plan_spends_what_is_left() -> None:
    short, ended = (spending.boundaries([0.5, 0.9], ended=ended) for ended in (False, True))
    assert ended[0] == short[0]
    assert ended[1] < short[1]
    assert crossing([0.5, 0.9], ended, -ended).total.sum() == pytest.approx(0.05, rel=1e-9)


def test_nothing_to_spend_yet_is_no_boundary() -> None:
    assert spending.boundaries([0.0001, 1.0])[0] > 35 or math.isinf(spending.boundaries([0.0001, 1.0])[0])


@pytest.mark.parametrize(
    ("fractions", "words"),
    [
        ([], "must rise"),
        ([0.5, 0.5], "must rise"),
        ([0.0, 1.0], "must rise"),
        ([0.5, 1.0, 1.2], "all is spent"),
        ([0.5, 0.50001], "apart"),
        ([math.nan], "must rise"),
    ],
)
def test_looks_that_are_none_are_refused(fractions: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        spending.boundaries(fractions)


def test_wrong_names_and_numbers_are_refused() -> None:
    with pytest.raises(LookupError, match="unknown spending 'obrien'; known: obrien_fleming"):
        spending.boundaries([1.0], spending="obrien")
    with pytest.raises(ValueError, match="rho must be > 0, got 0"):
        spending.kim_demets(0)
    with pytest.raises(ValueError, match="alpha must lie"):
        spending.boundaries([1.0], alpha=5)

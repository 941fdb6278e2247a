import math

import numpy as np
import pytest
from scipy import stats

from abtest.statistics import dunnett, welch
from abtest.statistics.moments import Moments, stack

HALF = math.sqrt(0.5)


@pytest.mark.parametrize(
    ("k", "freedom", "published"),
    # Dunnett (1964), two-sided 5%, equal arms
    [(2, 10, 2.57), (3, 20, 2.54), (9, 60, 2.77), (2, math.inf, 2.21), (3, math.inf, 2.35), (5, math.inf, 2.51)],
)
def test_agrees_with_the_published_table(k: int, freedom: float, published: float) -> None:
    assert dunnett.critical_value([HALF] * k, 0.05, freedom) == pytest.approx(published, abs=0.006)


def test_agrees_with_scipy_on_uneven_arms(rng: np.random.Generator) -> None:
    arms = [rng.normal(0.0, 1.0, n) for n in (30, 20, 25, 15)]
    arms[1] += 0.7
    n = np.array([len(arm) for arm in arms])
    freedom = n.sum() - 4
    pooled = sum(((arm - arm.mean()) ** 2).sum() for arm in arms) / freedom
    t = np.array([(arm.mean() - arms[0].mean()) / math.sqrt(pooled * (1 / len(arm) + 1 / 30)) for arm in arms[1:]])
    oracle = stats.dunnett(*arms[1:], control=arms[0], rng=rng)
    # scipy integrates by random points: three digits
    found = dunnett.exceedance(np.abs(t), dunnett.loadings(1 / n[0], 1 / n[1:]), freedom)
    np.testing.assert_allclose(found, oracle.pvalue, atol=1e-3)


@pytest.mark.parametrize("freedom", [3, 12, 500, math.inf])
def test_one_treatment_is_an_ordinary_test(freedom: float) -> None:
    law = stats.norm if math.isinf(freedom) else stats.t(freedom)
    np.testing.assert_allclose(
        dunnett.exceedance([0.5, 2.5, 6.0], [0.6], freedom), 2 * law.sf([0.5, 2.5, 6.0]), rtol=1e-8
    )
    assert dunnett.critical_value([0.6], 0.05, freedom) == pytest.approx(law.isf(0.025), rel=1e-8)


def test_the_law_is_the_multivariate_normal_one() -> None:
    loading = np.array([0.9, 0.5, 0.7])
    cov = np.outer(loading, loading) + np.diag(1 - loading**2)
    inside = stats.multivariate_normal(cov=cov).cdf([2.2] * 3, lower_limit=[-2.2] * 3)
    assert dunnett.exceedance(2.2, loading) == pytest.approx(1 - inside, abs=2e-5)


def test_strictness_lies_between_one_test_and_bonferroni() -> None:
    loose, strict = dunnett.critical_value([0.999] * 4, 0.05), dunnett.critical_value([0.01] * 4, 0.05)
    assert stats.norm.isf(0.025) < loose < dunnett.critical_value([HALF] * 4, 0.05) < strict < stats.norm.isf(0.025 / 4)


def test_effects_reject_where_their_interval_leaves_0_out(rng: np.random.Generator) -> None:
    control = Moments.of(("numerator",), rng.normal(5, 2, (4_000, 1)))
    arms = stack(
        [Moments.of(("numerator",), rng.normal(5 + up, 2, (n, 1))) for up, n in ((0, 900), (0.2, 4_000), (0.09, 2_000))]
    )
    found = dunnett.effects(control, arms, 0.95)
    assert np.array_equal(found.p_value < 0.05, (found.low > 0) | (found.high < 0))
    alone = welch.effects(stack([control] * 3), arms, 0.95)
    assert (found.p_value > alone.p_value).all()
    assert (found.low < alone.low).all()
    np.testing.assert_allclose(found.p_value, dunnett.p_values(control, arms), rtol=1e-12)


def test_an_arm_without_units_is_no_question(rng: np.random.Generator) -> None:
    control, one, two = (Moments.of(("numerator",), rng.normal(5, 2, (500, 1))) for _ in range(3))
    none = Moments.of(("numerator",), np.empty((0, 1)))
    with_gap = dunnett.effects(control, stack([one, none, two]), 0.95).rows()
    without = dunnett.effects(control, stack([one, two]), 0.95).rows()
    assert [with_gap[0].p_value, with_gap[2].p_value] == [row.p_value for row in without]
    assert math.isnan(with_gap[1].p_value)
    assert "no units in treatment" in with_gap[1].reason

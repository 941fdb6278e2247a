import math

import numpy as np
import pytest

from abtest.statistics import delta, poststratification, welch
from abtest.statistics.moments import Moments, stack

SHARES = np.array([0.5, 0.3, 0.15, 0.05])


def strata(values: np.ndarray, stratum: np.ndarray, columns: tuple[str, ...] = ("numerator",)) -> Moments:
    rows = values.reshape(len(stratum), -1)
    return stack([Moments.of(columns, rows[stratum == one]) for one in range(len(SHARES))])


def draw(rng: np.random.Generator, n: int, lift: float = 0.0) -> tuple[Moments, Moments]:
    """The same units with strata and without; the strata explain most of the variance."""
    stratum = rng.choice(len(SHARES), n, p=SHARES)
    values = (1 + lift) * (rng.exponential(2.0, n) + 4.0 * stratum)
    return strata(values, stratum), Moments.of(("numerator",), values[:, None])


def test_hand_computed_weights() -> None:
    """Strata of 40 and 20 units of both arms: 2/3 x 1 + 1/3 x 4 = 2 against 2/3 x 2 + 1/3 x 7 = 11/3."""
    spread = np.array([-1.0, 1.0] * 15)
    first, second = np.repeat([0, 1], [20, 10]), np.repeat([0, 1], [20, 10])
    control = strata(np.where(first == 0, 1.0, 4.0) + spread, first)[:2]
    treatment = strata(np.where(second == 0, 2.0, 7.0) + spread, second)[:2]
    found = poststratification.effect(control, treatment, 0.95)
    assert found.control == pytest.approx(2.0)
    assert found.treatment == pytest.approx(11 / 3)
    # each arm's stratum variance is m / (m - 1) over m units; the shares vary as their gap from 5/3 says
    within = 2 * ((2 / 3) ** 2 * (20 / 19) / 20 + (1 / 3) ** 2 * (10 / 9) / 10)
    between = (2 / 3 * (1 - 5 / 3) ** 2 + 1 / 3 * (3 - 5 / 3) ** 2) / 60
    assert found.se**2 == pytest.approx(within + between)


def test_one_stratum_is_the_unstratified_method(rng: np.random.Generator) -> None:
    ratio = [Moments.of(("numerator", "denominator"), 1.0 + rng.exponential(2.0, (90, 2))) for _ in range(2)]
    found, expected = poststratification.effect(*ratio, 0.95), delta.effect(*ratio, 0.95)
    assert found.ci == pytest.approx(expected.ci, rel=1e-12)
    assert found.relative_ci == pytest.approx(expected.relative_ci, rel=1e-12)
    assert found.p_value == pytest.approx(expected.p_value, rel=1e-12)


@pytest.mark.parametrize("n", [60, 400])
def test_false_alarms_and_coverage_hold_also_where_strata_are_merged(rng: np.random.Generator, n: int) -> None:
    runs = 1_200
    tolerance = 4 * math.sqrt(0.05 * 0.95 / runs)
    alike = [poststratification.effect(draw(rng, n)[0], draw(rng, n)[0], 0.95) for _ in range(runs)]
    assert np.mean([effect.p_value < 0.05 for effect in alike]) == pytest.approx(0.05, abs=tolerance)
    lifted = [poststratification.effect(draw(rng, n)[0], draw(rng, n, 0.2)[0], 0.95) for _ in range(runs)]
    covered = np.mean([effect.relative_ci[0] <= 0.2 <= effect.relative_ci[1] for effect in lifted])
    assert covered == pytest.approx(0.95, abs=tolerance)


def test_strata_that_explain_the_metric_narrow_the_interval(rng: np.random.Generator) -> None:
    control, treatment = draw(rng, 5_000), draw(rng, 5_000)
    stratified = poststratification.effect(control[0], treatment[0], 0.95)
    plain = welch.effect(control[1], treatment[1], 0.95)
    assert (stratified.se / plain.se) ** 2 == pytest.approx(4.0 / (4.0 + 16.0 * 0.7875), abs=0.03)


def test_small_strata_become_one_and_an_empty_one_is_nothing(rng: np.random.Generator) -> None:
    sizes = [60, 4, 5, 0]
    control, treatment = (
        stack([Moments.of(("numerator",), rng.normal(3.0, 1.0, (size, 1))) for size in sizes]) for _ in range(2)
    )
    found = poststratification.effect(control, treatment, 0.95)
    assert "over 1 stratum (3 small ones as one)" in found.method
    assert found.p_value > 0
    fuller = [Moments(m.columns, m.n * 5, m.mean, m.comoment * 5) for m in (control, treatment)]
    assert "over 3 strata" in poststratification.effect(*fuller, 0.95).method


def test_a_stratum_that_one_arm_never_had_is_merged(rng: np.random.Generator) -> None:
    control = stack([Moments.of(("numerator",), rng.normal(3.0, 1.0, (size, 1))) for size in (100, 50, 0)])
    treatment = stack([Moments.of(("numerator",), rng.normal(3.0, 1.0, (size, 1))) for size in (100, 50, 90)])
    found = poststratification.effect(control, treatment, 0.95)
    assert math.isfinite(found.p_value)
    assert "as one" in found.method


def test_means_of_a_billion_keep_their_interval(rng: np.random.Generator) -> None:
    stratum, values = rng.choice(4, (2, 800), p=SHARES), rng.normal(0.0, 1.0, (2, 800))
    near, far = (
        poststratification.effect(*(strata(values[arm] + by, stratum[arm]) for arm in range(2)), 0.95)
        for by in (0.0, 1e9)
    )
    assert far.ci == pytest.approx(near.ci, abs=5e-7)


def test_many_experiments_at_once_are_each_alone(rng: np.random.Generator) -> None:
    pairs = [(draw(rng, n)[0], draw(rng, n, 0.1)[0]) for n in (40, 90, 3_000)]
    batch = poststratification.effects(stack([a for a, _ in pairs]), stack([b for _, b in pairs]), 0.95).rows()
    for one, pair in zip(batch, pairs, strict=True):
        alone = poststratification.effect(*pair, 0.95)
        assert (one.p_value, *one.ci) == pytest.approx((alone.p_value, *alone.ci), rel=1e-12)
        assert one.method == alone.method


def test_arms_of_other_strata_are_refused(rng: np.random.Generator) -> None:
    control, treatment = draw(rng, 90)[0], draw(rng, 90)[0]
    with pytest.raises(ValueError, match="the same strata"):
        poststratification.effect(control, treatment[:2], 0.95)

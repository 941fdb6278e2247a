import math

import numpy as np
import pytest

from abtest.statistics import quantile
from abtest.statistics.moments import Moments
from abtest.statistics.quantile import Located, Rows


def rows(values: np.ndarray) -> Rows:
    return Rows(values=values)


def sessions(rng: np.random.Generator, n: int, lift: float = 0.0) -> Rows:
    """Log-normal sessions of n units with 1 to many each, alike within a unit."""
    units = np.repeat(np.arange(n), 1 + rng.poisson(5.0, n))
    return Rows(values=(1 + lift) * np.exp(rng.normal(0, 1, n)[units] + rng.normal(0, 0.5, len(units))), units=units)


def test_hand_computed_ends() -> None:
    """The median of 0..100 is 50; at 10 rows of shares off, the values are 10 off."""
    control, treatment = np.arange(101.0), np.arange(101.0) + 30.0
    found = quantile.effect(rows(control), rows(treatment), 0.95)
    z, lean = 1.959963984540054, math.sqrt(0.5)
    below = 50.0 - (101 * (0.5 - z * 0.5 / math.sqrt(101) * lean) - 0.5)
    assert (found.control, found.treatment) == (50.0, 80.0)
    assert found.ci[0] == pytest.approx(30.0 - math.hypot(below, below) / lean)
    assert found.p_value < 0.01
    assert found.method == "0.5 quantile, order statistics"


@pytest.mark.parametrize(("q", "n", "m"), [(0.5, 200, 200), (0.5, 300, 3_000), (0.9, 1_000, 1_000)])
def test_false_alarms_and_coverage_hold(rng: np.random.Generator, q: float, n: int, m: int) -> None:
    runs = 2_000
    control, treatment = rng.lognormal(0.0, 1.0, (runs, n)), rng.lognormal(0.0, 1.0, (runs, m))
    alike = quantile.effects(rows(control), rows(treatment), 0.95, q)
    tolerance = 4 * math.sqrt(0.05 * 0.95 / runs)
    assert np.mean(alike.p_value < 0.05) == pytest.approx(0.05, abs=tolerance)
    lifted = quantile.effects(rows(control), rows(1.2 * treatment), 0.95, q)
    covered = np.mean((lifted.relative_low <= 0.2) & (lifted.relative_high >= 0.2))
    assert covered == pytest.approx(0.95, abs=tolerance)


def test_units_with_many_rows_are_not_taken_for_as_many_units(rng: np.random.Generator) -> None:
    runs, clustered, naive = 500, 0, 0
    for _ in range(runs):
        control, treatment = sessions(rng, 150), sessions(rng, 150)
        clustered += quantile.effect(control, treatment, 0.95).p_value < 0.05
        naive += quantile.effect(rows(control.values), rows(treatment.values), 0.95).p_value < 0.05
    assert clustered / runs == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / runs))
    assert naive / runs > 0.25


def test_one_row_per_unit_gives_nearly_the_same_by_both_ways(rng: np.random.Generator) -> None:
    values = rng.lognormal(0.0, 1.0, (2, 2_000))
    plain = quantile.effect(rows(values[0]), rows(values[1]), 0.95)
    named = quantile.effect(*(Rows(values=arm, units=np.arange(2_000)) for arm in values), 0.95)
    assert named.ci == pytest.approx(plain.ci, rel=0.02)


def test_an_engine_needs_three_quantiles_and_two_counts(rng: np.random.Generator) -> None:
    control, treatment, q = rng.lognormal(0.0, 1.0, 400), rng.lognormal(0.1, 1.0, 900), 0.75
    known = quantile.of_units(400, q), quantile.of_units(900, q)
    arms = []
    for values, share, other in ((control, *known), (treatment, *known[::-1])):
        low, high = quantile.shares(share, other, q, 0.95)
        value, below, above = np.quantile(values, [q, float(low), float(high)])
        arms.append(
            Located(value=value, low=below, high=above, n=np.array(len(values)), lean=quantile.lean(share, other))
        )
    found = quantile.compare(arms[0], arms[1], 0.95, q).single()
    assert found.ci == pytest.approx(quantile.effect(rows(control), rows(treatment), 0.95, q).ci, rel=1e-12)


def test_counts_per_unit_are_all_that_a_clustered_share_needs(rng: np.random.Generator) -> None:
    drawn = sessions(rng, 300)
    value = np.quantile(drawn.values, 0.5)
    counts = [np.bincount(drawn.units, weights=drawn.values <= value), np.bincount(drawn.units)]
    found = quantile.of_counts(Moments.of(("numerator", "denominator"), np.column_stack(counts)))
    assert found.variance == pytest.approx(float(quantile.share_of(drawn, 0.5).variance), rel=1e-12)
    assert (int(found.rows), int(found.units)) == (len(drawn.values), 300)


def test_swapping_arms_flips_the_sign_and_scaling_scales(rng: np.random.Generator) -> None:
    control, treatment = rng.lognormal(0.0, 1.0, 300), rng.lognormal(0.3, 1.0, 500)
    there = quantile.effect(rows(control), rows(treatment), 0.9)
    back = quantile.effect(rows(treatment), rows(control), 0.9)
    assert there.absolute == -back.absolute
    assert there.ci == pytest.approx((-back.ci[1], -back.ci[0]), rel=1e-12)
    assert there.p_value == pytest.approx(back.p_value, rel=1e-12)
    assert 1 + there.relative_ci[0] == pytest.approx(1 / (1 + back.relative_ci[1]), rel=1e-9)
    tiny = quantile.effect(rows(1e-9 * control), rows(1e-9 * treatment), 0.9)
    assert tiny.relative_ci == pytest.approx(there.relative_ci, rel=1e-9)
    assert tiny.p_value == pytest.approx(there.p_value, rel=1e-9)


def test_p_is_below_its_level_exactly_where_the_interval_leaves_zero_out(rng: np.random.Generator) -> None:
    values = rng.lognormal(0.0, 1.0, (400, 2, 80)) * np.array([1.0, 1.3])[:, None]
    found = quantile.effects(rows(values[:, 0]), rows(values[:, 1]), 0.95)
    outside = (found.low > 0) | (found.high < 0)
    assert (outside == (found.p_value < 0.05)).all()
    assert 0 < outside.mean() < 1


def test_too_few_rows_are_refused(rng: np.random.Generator) -> None:
    least = quantile.least_rows(0.99, 0.95)
    for n, refused in ((least, False), (least - 1, True)):
        effect = quantile.effect(rows(rng.normal(9, 1, n)), rows(rng.normal(9, 1, n)), 0.95, 0.99)
        assert math.isnan(effect.p_value) == refused
        assert ("too few rows" in effect.reason) == refused
        assert math.isfinite(effect.absolute)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [((0, 50), "no units in control"), ((50, 0), "no units in treatment"), ((1, 50), "only one unit")],
)
def test_hardly_any_units_are_nan_with_a_reason(rng: np.random.Generator, sizes: tuple[int, int], words: str) -> None:
    effect = quantile.effect(*(rows(rng.normal(9, 1, size)) for size in sizes), 0.95)
    assert np.isnan([*effect.ci, *effect.relative_ci, effect.p_value, effect.se]).all()
    assert words in effect.reason


def test_ties_around_the_quantile_are_nan_with_a_reason() -> None:
    mostly_zero = np.repeat([0.0, 1.0], [80, 20])
    effect = quantile.effect(rows(mostly_zero), rows(mostly_zero), 0.95)
    assert effect.absolute == 0.0
    assert math.isnan(effect.p_value)
    assert "no variance to see" in effect.reason


def test_nan_values_are_nan_with_a_reason(rng: np.random.Generator) -> None:
    holed = rng.normal(9, 1, 100)
    holed[3] = np.nan
    effect = quantile.effect(rows(holed), rows(rng.normal(9, 1, 100)), 0.95)
    assert math.isnan(effect.p_value)
    assert "NaN" in effect.reason


def test_a_level_of_a_billion_keeps_the_interval(rng: np.random.Generator) -> None:
    values = rng.normal(0, 1, (2, 900))
    near, far = (quantile.effect(rows(values[0] + by), rows(values[1] + by), 0.95) for by in (0.0, 1e9))
    assert far.ci == pytest.approx(near.ci, abs=1e-6)


def test_values_are_not_reordered(rng: np.random.Generator) -> None:
    values = rng.normal(9, 1, 100)
    kept = values.copy()
    quantile.effect(rows(values), rows(values), 0.95)
    assert (values == kept).all()


@pytest.mark.parametrize("q", [0.0, 1.0, 50.0, math.nan])
def test_a_share_outside_0_and_1_is_refused(rng: np.random.Generator, q: float) -> None:
    with pytest.raises(ValueError, match="q must lie strictly between 0 and 1"):
        quantile.effect(rows(rng.normal(9, 1, 9)), rows(rng.normal(9, 1, 9)), 0.95, q)


def test_units_must_pair_with_values() -> None:
    with pytest.raises(ValueError, match="unit of each value"):
        Rows(values=np.zeros(4), units=np.arange(3))

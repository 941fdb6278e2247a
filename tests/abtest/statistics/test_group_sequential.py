import math

import numpy as np
import pytest

from abtest.statistics import group_sequential, spending
from abtest.statistics.moments import Moments, stack

FIVE = np.arange(1, 6) / 5


def cumulative(rng: np.random.Generator, days: int, per_day: int, lift: float = 0.0) -> Moments:
    so_far = [Moments.of(("numerator",), rng.normal(1 + lift, 1.0, (per_day, 1))) for _ in range(days)]
    return stack([Moments.merged(so_far[: day + 1]) for day in range(days)])


def test_p_value_is_alpha_exactly_at_the_boundary() -> None:
    bounds = spending.boundaries(FIVE)
    assert group_sequential.repeated_p(FIVE, bounds) == pytest.approx(0.05, rel=1e-9)
    assert (group_sequential.repeated_p(FIVE, bounds * 0.999) > 0.05).all()
    assert group_sequential.repeated_p(FIVE, -bounds * 1.001)[-1] < 0.05


def test_p_value_is_the_alpha_whose_boundary_is_met() -> None:
    for alpha in (0.003, 0.2):
        bounds = spending.boundaries(FIVE, alpha)
        alone = [group_sequential.repeated_p(FIVE[: k + 1], [*[0.0] * k, bounds[k]])[-1] for k in range(1, 5)]
        # the table is interpolated: a percent of p
        assert alone == pytest.approx([alpha] * 4, rel=0.02)


def test_p_values_never_rise_and_rejection_is_where_the_interval_leaves_0_out(rng: np.random.Generator) -> None:
    control, treatment = cumulative(rng, 8, 400), cumulative(rng, 8, 400, 0.12)
    found = group_sequential.effects(control, treatment, 0.95, planned=6_400)
    assert (np.diff(found.p_value) <= 0).all()
    outside = (found.low > 0) | (found.high < 0)
    assert np.array_equal(np.maximum.accumulate(outside), found.p_value < 0.05)
    assert outside.any()
    assert group_sequential.effect(control, treatment, 0.95, planned=6_400) == found.rows()[-1]


def test_after_the_plan_there_is_no_further_look(rng: np.random.Generator) -> None:
    control, treatment = cumulative(rng, 4, 100), cumulative(rng, 4, 100)
    found = group_sequential.effects(control, treatment, 0.95, planned=500).rows()
    assert [math.isnan(row.p_value) for row in found] == [False, False, False, True]
    assert "which was the last" in found[3].reason
    assert not math.isnan(found[3].absolute)


def test_a_day_without_units_is_no_look(rng: np.random.Generator) -> None:
    one = cumulative(rng, 2, 100)
    again = stack([one[0], one[0], one[1]])
    found = group_sequential.effects(again, again, 0.95, planned=400).rows()
    assert "not a look of its own" in found[1].reason
    same = group_sequential.effects(one, one, 0.95, planned=400).rows()
    assert found[2].ci == same[1].ci


def test_stopping_is_corrected_for() -> None:
    bounds = spending.boundaries(FIVE)
    estimate, low, high = group_sequential.after_stopping(FIVE[:3], bounds[:3], 2.9)
    assert low < estimate < 2.9 < high
    assert low > 0
    mirrored = group_sequential.after_stopping(FIVE[:3], bounds[:3], -2.9)
    assert mirrored == pytest.approx((-estimate, -high, -low), rel=1e-6)
    assert group_sequential.after_stopping([1.0], [1.96], 1.5) == pytest.approx((1.5, 1.5 - 1.959964, 1.5 + 1.959964))


def test_median_unbiased_estimate_is_too_high_half_the_time(rng: np.random.Generator) -> None:
    looks, runs, drift = np.array([0.3, 0.6, 1.0]), 400, 2.0
    bounds = spending.boundaries(looks, spending="pocock")
    steps = np.diff(looks, prepend=0.0)
    walks = (rng.normal(0.0, np.sqrt(steps), (runs, 3)) + drift * steps).cumsum(axis=1) / np.sqrt(looks)
    too_high, covered, naive = 0, 0, 0
    for walk in walks:
        beyond = np.flatnonzero(np.abs(walk) >= bounds)
        k = int(beyond[0]) if len(beyond) else 2
        estimate, low, high = group_sequential.after_stopping(looks[: k + 1], bounds[: k + 1], walk[k], 0.9)
        truth = drift * math.sqrt(looks[k])
        too_high, covered, naive = (
            too_high + (estimate > truth),
            covered + (low <= truth <= high),
            naive + (walk[k] > truth),
        )
    # four Monte-Carlo standard errors
    assert too_high / runs == pytest.approx(0.5, abs=0.1)
    assert covered / runs == pytest.approx(0.9, abs=0.06)
    assert naive > too_high


def test_many_comparisons_equal_each_alone(rng: np.random.Generator) -> None:
    arms = [[cumulative(rng, 3, 50 * (1 + k)) for k in range(2)] for _ in range(2)]
    both = group_sequential.effects(stack(arms[0]), stack(arms[1]), 0.95, planned=600)
    for k in range(2):
        alone = group_sequential.effects(arms[0][k], arms[1][k], 0.95, planned=600)
        assert both.rows()[3 * k : 3 * k + 3] == alone.rows()


def test_a_plan_of_nothing_and_a_sample_without_looks_are_refused(rng: np.random.Generator) -> None:
    control = cumulative(rng, 2, 10)
    with pytest.raises(ValueError, match="planned must be at least one unit, got 0"):
        group_sequential.effects(control, control, 0.95, planned=0)
    with pytest.raises(ValueError, match="looks run along the last axis"):
        group_sequential.effects(control[0], control[0], 0.95, planned=100)

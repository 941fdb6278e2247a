"""Plans from past experiments."""

import math
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower, TTestIndPower

from abtest.types import Metric, Readout, Sample
from experiments import plans
from experiments.store import Record
from tests.dashboards.worlds import CONVERSION, REVENUE, definition, readout

ARRIVALS = (500, 900, 1_200, 1_400, 1_500, 1_560, 1_600, 1_640)


def measured() -> Readout:
    """Revenue of mean 12 and standard deviation 24 over 8,012 units, and a conversion of 12%."""
    n = 8_012
    samples = tuple(
        Sample(metric=name, variant=v, columns=("numerator",), units=n, mean=(mean,), comoment=((variance * (n - 1),),))
        for v in ("control", "treatment")
        for name, mean, variance in (("revenue_per_user", 12.0, 576.0), ("conversion", 0.12, 0.12 * 0.88))
    )
    return replace(readout("past"), samples=samples)


def past(name: str = "revenue_per_user") -> plans.Past:
    record = Record(definition=definition("past"), readout=measured(), decision=None)
    return next(one for one in plans.pasts(record, ARRIVALS) if one.metric.name == name)


def test_only_the_controls_samples_are_planned_from() -> None:
    found = plans.pasts(Record(definition=definition("past"), readout=measured(), decision=None), ARRIVALS)
    assert [one.metric for one in found] == [REVENUE, CONVERSION]
    assert found[0].baseline.value == pytest.approx(12.0)
    assert found[0].baseline.variance == pytest.approx(576.0)
    assert math.isnan(found[0].variance_saved)
    assert plans.pasts(Record(definition=definition("past"), readout=None, decision=None), ()) == ()


def test_metric_without_spread_or_value_cannot_be_planned_from() -> None:
    made = measured()
    flat = tuple(replace(sample, mean=(0.0,), comoment=((0.0,),)) for sample in made.samples)
    assert plans.pasts(Record(definition=definition("e"), readout=replace(made, samples=flat), decision=None), ()) == ()


def test_units_agree_with_statsmodels() -> None:
    found = plans.forecast(past(), plans.design(), 0.05)
    each = NormalIndPower().solve_power(effect_size=0.05 * 12 / 24, alpha=0.05, power=0.8)
    assert found.units == pytest.approx(2 * each, rel=1e-4)
    assert found.units == pytest.approx(2 * TTestIndPower().solve_power(0.025, alpha=0.05, power=0.8), rel=1e-3)


def test_reach_is_forecast_read_backwards() -> None:
    design = plans.design(looks="planned")
    found = plans.reach(past(), design, 8)
    assert found.units == ARRIVALS[-1]
    assert plans.forecast(past(), design, found.lift).units == pytest.approx(ARRIVALS[-1], rel=1e-6)


def test_looking_costs_units_and_cuped_saves_them() -> None:
    units = {
        looks: plans.forecast(past(), plans.design(looks=looks), 0.05).units
        for looks in ("once", "planned", "any time")
    }
    assert units["once"] < units["planned"] < units["any time"]
    saved = plans.forecast(past(), plans.design(variance_saved=0.3), 0.05).units
    assert saved == pytest.approx(0.7 * units["once"])


def test_every_further_arm_costs_units() -> None:
    needed = [plans.forecast(past(), plans.design(arms=arms), 0.05).units for arms in (2, 3, 4)]
    assert needed == sorted(needed)
    with pytest.raises(ValueError, match="two arms or more"):
        plans.design(arms=1)


def test_unequal_shares_clusters_and_margins_cost_what_the_design_says() -> None:
    plain = plans.forecast(past(), plans.design(), 0.05).units
    unequal = plans.forecast(past(), plans.design(shares=(8, 2)), 0.05).units
    assert unequal == pytest.approx(plain * (1 / 0.8 + 1 / 0.2) / 4, rel=1e-9)
    clustered = plans.forecast(past(), plans.design(cluster=21, intraclass=0.05), 0.05).units
    assert clustered == pytest.approx(2 * plain, rel=1e-9)
    safe = plans.forecast(past(), plans.design(margin=0.05), 0.0).units
    assert safe == pytest.approx(plain, rel=1e-3)  # to exclude a loss of 5% takes what finding a lift of 5% takes
    late = plans.forecast(past(), plans.design(looks="planned", spending="kim_demets_3"), 0.05).units
    assert plain < late < plans.forecast(past(), plans.design(looks="planned", spending="pocock"), 0.05).units


def test_a_quantile_is_planned_from_the_error_that_it_had() -> None:
    median = Metric(name="median", kind="quantile", quantile=0.5, numerator="seconds")
    made = measured()
    effect = replace(made.effects[0].effect, control=10.0, se=0.5)
    shown = replace(made.effects[0], metric=median, effect=effect, variant=made.arms[1].variant)
    (found,) = plans.of_readout(replace(made, effects=(shown,)), (median,))
    units = [arm.units for arm in made.arms[:2]]
    assert found.baseline.value == 10.0
    assert found.baseline.variance * (1 / units[0] + 1 / units[1]) == pytest.approx(0.25)
    # as many units as it had find what is 2.8 of its standard errors away
    wanted = plans.design(shares=units)
    assert plans.forecast(found, wanted, 2.8016 * 0.5 / 10).units == pytest.approx(sum(units), rel=1e-3)


def test_units_come_as_in_the_past_and_then_at_the_last_weeks_pace() -> None:
    assert plans.units_in(past(), 3) == 1_200
    assert plans.units_in(past(), 15) == pytest.approx(1_640 + 7 * (1_640 - 500) / 7)
    assert plans.units_in(past(), 3, share=0.5) == 600
    assert plans.days_for(past(), 1_200) == pytest.approx(3.0)
    assert plans.days_for(past(), plans.units_in(past(), 30)) == pytest.approx(30.0)


def test_days_are_not_known_where_they_were_not_counted() -> None:
    uncounted = replace(past(), arrivals=())
    assert math.isnan(plans.forecast(uncounted, plans.design(), 0.05).days)
    assert math.isnan(plans.units_in(uncounted, 7))
    assert math.isinf(plans.days_for(past(), math.inf))


def test_power_grows_with_the_lift_and_ends_where_a_proportion_does() -> None:
    one = past("conversion")
    curve = plans.power_curve(one, plans.design(), 2_000, plans.most(one))
    powers = [power for _, power in curve]
    assert powers == sorted(powers)
    assert len(curve) == plans.POINTS - 1
    assert np.isfinite(powers).all()


def test_variance_saved_is_the_least_of_the_arms() -> None:
    made = measured()
    effects = tuple(
        replace(one, variance_saved=0.2 + 0.1 * n, metric=REVENUE) for n, one in enumerate(made.effects[:2])
    )
    record = Record(definition=definition("e"), readout=replace(made, effects=effects), decision=None)
    assert plans.pasts(record, ARRIVALS)[0].variance_saved == pytest.approx(0.2)

"""What a unit brings to a metric: filters, windows, days of return, caps, covariates, quantiles, what was shown."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from abtest.analysis.analyse import analyse, analyse_units
from abtest.analysis.metrics import days_of, load_metrics
from abtest.statistics import cuped, quantile
from abtest.statistics.moments import Moments
from abtest.types import AnalysisPlan, Metric, Readout
from bakeoff.records import from_json, to_json
from tests.abtest.analysis.worlds import AS_OF, START, events, experiment, exposure, outcome

DAY = 24.0


def read(shown: list[dict[str, Any]], done: list[dict[str, Any]], *metrics: Metric, **options: Any) -> Readout:
    world = events(shown, done)
    given = {"as_of": AS_OF} | options
    plan = given.pop("plan", AnalysisPlan())
    return analyse(experiment(analysis=plan), metrics, world.exposures, world.outcomes, **given)


def value(readout: Readout, place: int = 0) -> float:
    return readout.effects[place].effect.control


ARMS = [exposure("a", "control", 0), exposure("b", "control", 0), exposure("t", "treatment", 0)]


def test_only_the_events_that_pass_the_filter_count() -> None:
    done = [outcome("a", "buy", 1, 5.0), outcome("a", "buy", 2, 50.0), outcome("b", "buy", 3, 20.0)]
    between = Metric(name="between", kind="mean", numerator="buy", where={"value": {"min": 5, "max": 20}})
    exactly = Metric(name="exactly", kind="mean", numerator="buy.value", where={"value": [50, 20]})
    one = Metric(name="one", kind="proportion", numerator="buy", where={"value": 20})
    readout = read(ARMS, done, between, exactly, one)
    assert [value(readout, i) for i in range(3)] == [1.0, 35.0, 0.5]


def test_a_filter_by_a_column_that_is_not_there_says_what_there_is() -> None:
    odd = Metric(name="odd", kind="mean", numerator="buy", where={"country": "SE"})
    with pytest.raises(ValueError, match="buy is filtered by 'country', a column that its events lack; they have id"):
        read(ARMS, [], odd)


def test_a_window_ends_for_each_unit_by_itself() -> None:
    shown = [exposure("a", "control", 0), exposure("b", "control", 5 * DAY), exposure("t", "treatment", 0)]
    done = [outcome("a", "click", 2 * DAY - 0.01), outcome("a", "click", 2 * DAY), outcome("b", "click", 6 * DAY)]
    readout = read(shown, done, Metric(name="early", kind="mean", numerator="click", window=2))
    assert value(readout) == 1.0
    assert readout.daily[-1].effect.control == pytest.approx(1.0)


def test_who_came_back_on_the_day_is_asked_only_of_those_whose_day_is_over() -> None:
    shown = [*ARMS, exposure("young", "control", 25 * DAY)]
    done = [outcome("a", "visit", 7.5 * DAY), outcome("b", "visit", 8.0 * DAY), outcome("young", "visit", 26 * DAY)]
    readout = read(shown, done, Metric(name="day_seven", kind="retention", numerator="visit", day=7))
    assert value(readout) == 0.5  # b came a day late, and the young one has not had a seventh day
    assert next(s.units for s in readout.samples if s.variant == "control") == 2
    assert "1 unit was left out of day seven: their days are not over yet." in readout.warnings


def test_a_cap_by_quantile_is_that_of_all_units_together() -> None:
    shown = [exposure(f"u{i}", ("control", "treatment")[i % 2], 0) for i in range(200)]
    done = [outcome(f"u{i}", "buy", 1, float(i)) for i in range(200)]
    capped = Metric(name="capped", kind="mean", numerator="buy.value", cap_quantile=0.9)
    readout = read(shown, done, capped)
    ceiling = np.quantile(np.arange(200.0), 0.9)
    assert value(readout) == pytest.approx(np.minimum(np.arange(0.0, 200.0, 2.0), ceiling).mean())
    assert readout.effects[0].metric.cap == pytest.approx(ceiling)


def test_a_quantile_is_that_of_the_units() -> None:
    rng = np.random.default_rng(3)
    values = rng.lognormal(0.0, 1.0, 600)
    shown = [exposure(f"u{i}", ("control", "treatment")[i % 2], 0) for i in range(600)]
    done = [outcome(f"u{i}", "wait", 1, float(value)) for i, value in enumerate(values)]
    readout = read(shown, done, Metric(name="slow", kind="quantile", quantile=0.9, numerator="wait.value"))
    effect = readout.effects[0].effect
    assert effect.control == pytest.approx(np.quantile(values[::2], 0.9))
    assert effect.treatment == pytest.approx(np.quantile(values[1::2], 0.9))
    assert effect.ci[0] < 0 < effect.ci[1]
    assert [comparison.day is not None for comparison in readout.daily] == [True]


def test_what_was_shown_can_be_measured() -> None:
    shown = [
        exposure("a", "control", 0, items=3, context='{"diversity": 0.5, "k": 3}'),
        exposure("a", "control", 1, items=5, context='{"k": 5, "diversity":0.25}'),
        exposure("t", "treatment", 0, items=2, context="{}"),
    ]
    share = Metric(name="share", kind="ratio", numerator="distinct_items", denominator="impressions")
    diversity = Metric(name="diversity", kind="ratio", numerator="context.diversity", denominator="exposures")
    readout = read(shown, [], share, diversity)
    assert value(readout, 0) == pytest.approx(5 / 8)  # the second slate repeats the items of the first
    assert value(readout, 1) == pytest.approx(0.375)


def world_with_a_past(lift: float = 0.0) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """400 units whose clicks before and after their first exposure follow their own taste."""
    rng = np.random.default_rng(5)
    shown, done = [], []
    for u in range(400):
        first, taste = float(rng.uniform(0, 3 * DAY)), rng.gamma(2.0, 3.0)
        shown.append(exposure(f"u{u}", ("control", "treatment")[u % 2], first))
        done += [outcome(f"u{u}", "click", first - h) for h in rng.uniform(0.1, 7 * DAY, rng.poisson(taste))]
        after = rng.poisson(taste * (1 + lift * (u % 2)))
        done += [outcome(f"u{u}", "click", first + h) for h in rng.uniform(0.1, 7 * DAY, after)]
    return shown, done


ADJUSTED = Metric(name="clicks", kind="mean", numerator="click", covariate_days=7, role="primary")


def test_the_days_before_the_first_exposure_take_variance_out() -> None:
    shown, done = world_with_a_past(lift=0.2)
    comparison = read(shown, done, ADJUSTED).effects[0]
    assert comparison.unadjusted is not None
    # tastes vary by 18 and clicks of a taste by 6: the past explains (18 / 24)^2 of the spread
    assert comparison.variance_saved == pytest.approx(0.5625, abs=0.08)
    assert comparison.effect.se < 0.75 * comparison.unadjusted.se
    assert comparison.effect.relative_ci[0] < 0.2 < comparison.effect.relative_ci[1]
    assert "CUPED" in comparison.effect.method


def test_a_plan_without_cuped_does_not_adjust() -> None:
    shown, done = world_with_a_past()
    comparison = read(shown, done, ADJUSTED, plan=AnalysisPlan(cuped=False)).effects[0]
    assert (comparison.unadjusted, comparison.variance_saved) == (None, None)
    unadjusted = read(shown, done, ADJUSTED).effects[0].unadjusted
    assert unadjusted is not None
    assert comparison.effect.p_value == pytest.approx(unadjusted.p_value, rel=1e-9)


def test_the_last_day_is_adjusted_as_the_whole_is() -> None:
    shown, done = world_with_a_past()
    readout = read(shown, done, ADJUSTED)
    last = readout.daily[-1].effect
    assert last.absolute == pytest.approx(readout.effects[0].effect.absolute, rel=1e-9)
    assert last.se == pytest.approx(readout.effects[0].effect.se, rel=1e-9)


def test_a_covariate_reaches_back_before_the_start_of_the_experiment() -> None:
    shown = [exposure("a", "control", 1), exposure("b", "control", 1), exposure("t", "treatment", 1)]
    done = [outcome("a", "click", -30), outcome("a", "click", -200), outcome("a", "click", 2)]
    world = events(shown, done)
    readout = analyse(experiment(starts=START), (ADJUSTED,), world.exposures, world.outcomes, as_of=AS_OF)
    sample = readout.samples[0]
    assert dict(zip(sample.columns, sample.mean, strict=True)) == {"numerator": 0.5, "covariate": 0.5}


def test_an_attribute_that_is_not_known_is_counted_and_the_mean_stands_for_it() -> None:
    shown, done = world_with_a_past()
    past = {row["unit"]: 0.0 for row in shown}
    for row in done:
        past[row["unit"]] += row["at"] < START
    known = pa.table({"unit": list(past)[:-8], "spent": list(past.values())[:-8]})
    metric = Metric(name="clicks", kind="mean", numerator="click", covariate="spent")
    readout = read(shown, done, metric, unit_attributes=known)
    assert "The covariate spent is not known of 8 units (2.0%); the mean stands for it." in readout.warnings
    assert not np.isnan(readout.effects[0].effect.p_value)
    with pytest.raises(ValueError, match="spent: attributes of a unit; give unit_attributes"):
        read(shown, done, metric)
    twice = pa.concat_tables([known, known.slice(0, 1)])
    with pytest.raises(ValueError, match="393 rows of 392 units; keep one row per unit"):
        read(shown, done, metric, unit_attributes=twice)


def test_outcomes_that_a_covariate_needs_are_not_said_to_be_too_early() -> None:
    shown, done = world_with_a_past()
    assert not any("before their unit's first exposure" in warning for warning in read(shown, done, ADJUSTED).warnings)
    plain = Metric(name="clicks", kind="mean", numerator="click")
    assert any("before their unit's first exposure" in warning for warning in read(shown, done, plain).warnings)


def test_a_quick_look_has_the_same_effects_and_no_history() -> None:
    shown, done = world_with_a_past(lift=0.1)
    whole, quick = (read(shown, done, ADJUSTED, daily=daily) for daily in (True, False))
    assert quick.daily == ()
    assert quick.effects[0].effect.p_value == pytest.approx(whole.effects[0].effect.p_value, rel=1e-9)
    assert [check.name for check in quick.checks][:2] == ["sample ratio", "sample ratio at every look"]


@pytest.mark.parametrize(("text", "days"), [("7d", 7.0), ("36h", 1.5), ("2w", 14.0), (3, 3.0), ("1.5d", 1.5)])
def test_times_are_written_as_people_do(text: Any, days: float) -> None:
    assert days_of(text, "window") == days


def test_short_forms_of_a_definition_are_spelled_out() -> None:
    definition = {"kind": "mean", "numerator": "buy.value", "cap": "99.9%", "covariate": {"days": 14}, "window": "7d"}
    (metric,) = load_metrics({"metrics": {"spend": definition}})
    assert (metric.cap, metric.cap_quantile, metric.covariate_days, metric.window) == (None, 0.999, 14.0, 7.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "quantile"}, "give quantile, 0.9 for the ninetieth percentile"),
        ({"quantile": 0.5}, "kind mean with quantile 0.5: drop quantile"),
        ({"kind": "quantile", "quantile": 90}, "quantile must lie strictly between 0 and 1, got 90"),
        ({"kind": "quantile", "quantile": 0.9, "cap": 3}, "a quantile needs no cap"),
        ({"kind": "quantile", "quantile": 0.9, "covariate": "x"}, "cannot be adjusted for a covariate"),
        ({"per": "event"}, "per event is for a quantile of <kind>.value, got a mean"),
        ({"kind": "quantile", "quantile": 0.5, "per": "event"}, "per event is for a quantile of <kind>.value, got buy"),
        ({"kind": "quantile", "quantile": 0.5, "per": "row"}, "per must be one of unit, event, got 'row'"),
        ({"kind": "retention"}, "give day, 7 for the seventh day"),
        ({"kind": "retention", "day": "x"}, "day must be a time > 0"),
        ({"window": 0}, "window must be a time > 0 such as 7d, 36h or a number of days, got 0"),
        ({"window": "7 days"}, "window must be a time"),
        ({"where": "value > 3"}, "where must be a mapping"),
        ({"where": {"value": {"above": 3}}}, "where.value must be a value, a list of values or {min, max}"),
        ({"where": {"value": {"min": "a"}}}, "where.value must be"),
        ({"cap": "much%"}, "cap must be a number or a percentage"),
        ({"cap": 3, "cap_quantile": 0.9}, "cap and cap_quantile exclude each other"),
        ({"covariate": {"day": 14}}, "covariate must be a column or {days: 14}"),
        ({"covariate": "x", "covariate_days": 3}, "covariate and covariate_days exclude each other"),
        ({"covariate": "x", "covariate_denominator": "y"}, "covariate_denominator belongs to a ratio"),
        ({"numerator": "exposures", "covariate_days": 3}, "there are no exposures before the first exposure"),
        ({"covariates": ["x"]}, "covariates come beside a first one"),
        ({"covariate": ["x", "x"]}, "covariate must be a list of different columns"),
        ({"covariate": []}, "covariate must be a list of different columns"),
        ({"covariate": "x", "covariates": ["y", "x"]}, "the covariate x stands twice"),
        ({"covariate": "x", "covariates": "y"}, "covariates must be a list of different columns, got 'y'"),
        ({"mde": 0}, "mde must be > 0, got 0"),
    ],
)
def test_a_bad_definition_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_metrics({"metrics": {"m": {"kind": "mean", "numerator": "buy"} | change}})


def test_units_of_two_variants_count_nowhere() -> None:
    shown = [*ARMS, exposure("t", "control", 1)]
    readout = read(shown, [outcome("t", "click", 2)], Metric(name="c", kind="mean", numerator="click", window=3))
    assert readout.multi_variant_units == 1
    assert [arm.units for arm in readout.arms] == [2, 0]
    assert readout.last == START + timedelta(hours=2)


@pytest.mark.parametrize("kind", ["mean", "ratio"])
def test_several_covariates_are_a_regression_on_all_of_them(kind: Any) -> None:
    rng, n = np.random.default_rng(9), 2_000
    treated, age, past, shown = np.arange(n) % 2, rng.normal(40, 10, n), rng.gamma(2.0, 3.0, n), 1.0 + rng.poisson(4, n)
    spent = 0.1 * age + past + rng.normal(0, 1, n) + 0.3 * treated
    units = pa.table(
        {
            "variant": np.where(treated, "treatment", "control"),
            "spent": spent * (shown if kind == "ratio" else 1.0),
            "shown": shown,
            "age": age,
            "past": past,
        }
    )
    definition = {"kind": kind, "numerator": "spent", "covariate": ["past", "age"]}
    definition |= {"denominator": "shown"} if kind == "ratio" else {}
    (metric,) = load_metrics({"metrics": {"spending": definition}})
    readout = analyse_units(experiment(), (metric,), units, as_of=AS_OF)
    comparison = readout.effects[0]
    assert (metric.covariate, metric.covariates) == ("past", ("age",))
    assert "CUPED by 2 of 2 covariates" in comparison.effect.method
    columns = ("numerator", *(("denominator",) if kind == "ratio" else ()), "covariate", "covariate_2")
    rows = np.column_stack(
        [units[name] for name in ("spent", "shown", "past", "age") if kind == "ratio" or name != "shown"]
    )
    arms = [Moments.of(columns, rows[treated == arm]) for arm in (0, 1)]
    expected = cuped.effect(*arms, 0.95)
    assert comparison.effect.absolute == pytest.approx(expected.absolute, rel=1e-9)
    assert comparison.effect.p_value == pytest.approx(expected.p_value, rel=1e-7)
    alone = analyse_units(experiment(), (replace(metric, covariates=()),), units, as_of=AS_OF).effects[0]
    assert comparison.effect.se < 0.95 * alone.effect.se
    assert any("alike before" in check.says and "over 2 comparisons" in check.says for check in readout.checks)
    assert from_json(Readout, to_json(Readout, readout)) == readout


def test_arms_that_differ_in_a_further_covariate_were_not_alike_before() -> None:
    rng, n = np.random.default_rng(9), 1_000
    treated = np.arange(n) % 2
    units = pa.table(
        {
            "variant": np.where(treated, "treatment", "control"),
            "spent": rng.normal(10, 1, n),
            "past": rng.normal(10, 1, n),
            "first_age": rng.normal(40, 10, n) + 5 * treated,
        }
    )
    metric = Metric(name="spending", kind="mean", numerator="spent", covariate="past", covariates=("first_age",))
    checks = {check.name: check for check in analyse_units(experiment(), (metric,), units, as_of=AS_OF).checks}
    assert checks["carry-over"].fatal
    assert "treatment already differed from control in first age" in checks["carry-over"].says


def test_a_quantile_of_events_knows_that_those_of_a_unit_are_alike() -> None:
    rng = np.random.default_rng(11)
    shown, done, values, whose = [], [], ([], []), ([], [])
    for u in range(400):
        arm, slow = u % 2, rng.lognormal(0.0, 0.8)
        shown.append(exposure(f"u{u}", ("control", "treatment")[arm], 1))
        done.append(outcome(f"u{u}", "wait", 0.5, 99.0))  # before the first exposure: not counted
        for i in range(1 + rng.poisson(6)):
            value = float(slow * rng.lognormal(0.0, 0.2))
            done.append(outcome(f"u{u}", "wait", 2 + i, value))
            values[arm].append(value)
            whose[arm].append(u)
    shown += [exposure("both", "control", 1), exposure("both", "treatment", 2)]
    done.append(outcome("both", "wait", 3, 1e6))
    metric = Metric(name="slow", kind="quantile", quantile=0.75, per="event", numerator="wait.value")
    single = read(shown, done, metric)
    arms = [quantile.Rows(values=np.array(v), units=np.array(w)) for v, w in zip(values, whose, strict=True)]
    expected = quantile.effect(arms[0], arms[1], 0.95, 0.75)
    effect = single.effects[0].effect
    assert (effect.control, effect.treatment) == pytest.approx((expected.control, expected.treatment), rel=1e-12)
    assert effect.ci == pytest.approx(expected.ci, rel=1e-9)
    assert effect.p_value == pytest.approx(expected.p_value, rel=1e-7)
    alone = quantile.effect(*(quantile.Rows(values=arm.values) for arm in arms), 0.95, 0.75)
    assert effect.se > 1.5 * alone.se  # as if each event were a unit of its own
    assert [comparison.day is not None for comparison in single.daily] == [True]


def test_a_quantile_of_events_that_never_came_has_a_reason() -> None:
    metric = Metric(name="slow", kind="quantile", quantile=0.5, per="event", numerator="wait.value")
    effect = read(ARMS, [], metric).effects[0].effect
    assert np.isnan(effect.p_value)
    assert effect.reason
    few = read(ARMS, [outcome("a", "wait", 1, 3.0)], metric).effects[0].effect
    assert few.control == 3.0
    assert np.isnan(few.p_value)

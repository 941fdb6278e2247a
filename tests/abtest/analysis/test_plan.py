"""What the plan asks for: corrections, looks, segments, posteriors, margins; and what a decision makes of it."""

import math
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from abtest.analysis import words
from abtest.analysis.analyse import analyse, analyse_units
from abtest.analysis.decide import decide, evidence
from abtest.analysis.looks import SPENDING, look_days
from abtest.statistics import dunnett, group_sequential, multiple, poststratification, spending
from abtest.statistics.moments import Moments
from abtest.types import AnalysisPlan, DecisionRule, Metric, Readout, Variant
from bakeoff.records import from_json, to_json
from tests.abtest.analysis.worlds import AS_OF, METRICS, START, experiment, make_world

CLICKS = Metric(name="clicks", kind="mean", numerator="click", role="primary")
BUYS = Metric(name="buys", kind="mean", numerator="buy")
GUARD = Metric(name="guard", kind="mean", numerator="guard", role="guardrail", margin=0.1)
THREE = tuple(Variant(name=name, weight=1 / 3) for name in ("control", "one", "two"))
RULE = DecisionRule(min_days=1, min_units=10)


def table(lifts: dict[str, float], n: int = 900, seed: int = 1) -> pa.Table:
    """n units per arm, whose clicks and buys grow by the arm's lift; the guard metric never does."""
    rng = np.random.default_rng(seed)
    variants = np.repeat(list(lifts), n)
    lift = np.repeat(list(lifts.values()), n)
    m = len(variants)
    return pa.table(
        {
            "variant": variants,
            "click": rng.normal(10 * (1 + lift), 3.0),
            "buy": rng.normal(5 * (1 + lift / 2), 3.0),
            "guard": rng.normal(10, 3.0, m),
            "country": rng.choice(["SE", "NO", "DK", "FI", "IS"], m),
        }
    )


def read(units: pa.Table, metrics: Any = (CLICKS, BUYS), plan: AnalysisPlan | None = None, **changes: Any) -> Readout:
    made = experiment(analysis=plan or AnalysisPlan(), **changes)
    return analyse_units(made, metrics, units, as_of=AS_OF)


@pytest.mark.parametrize(("name", "method"), [("holm", "holm"), ("hochberg", "hochberg"), ("bh", "benjamini_hochberg")])
def test_the_plans_correction_runs_over_metrics_and_arms(name: Any, method: Any) -> None:
    units = table({"control": 0.0, "one": 0.03, "two": 0.02})
    readout = read(units, plan=AnalysisPlan(correction=name), variants=THREE)
    p_values = [comparison.effect.p_value for comparison in readout.effects]
    assert [c.adjusted_p for c in readout.effects] == pytest.approx(multiple.adjust(p_values, method).tolist())
    for comparison in readout.effects:
        assert comparison.adjusted_ci is not None
        assert comparison.adjusted_ci[0] <= comparison.effect.relative_ci[0]
        assert comparison.adjusted_ci[1] >= comparison.effect.relative_ci[1]


def test_a_family_of_arms_asks_each_metric_by_itself() -> None:
    units = table({"control": 0.0, "one": 0.03, "two": 0.02})
    readout = read(units, plan=AnalysisPlan(family=("arms",)), variants=THREE)
    for start in (0, 2):
        p_values = [comparison.effect.p_value for comparison in readout.effects[start : start + 2]]
        assert [c.adjusted_p for c in readout.effects[start : start + 2]] == pytest.approx(multiple.holm(p_values))


def test_nothing_is_corrected_where_the_plan_says_so_nor_guardrails_ever() -> None:
    units = table({"control": 0.0, "treatment": 0.03})
    free = read(units, plan=AnalysisPlan(correction="none"))
    assert [comparison.adjusted_p for comparison in free.effects] == [None, None]
    guarded = read(units, (CLICKS, GUARD))
    assert guarded.effects[0].adjusted_p == pytest.approx(guarded.effects[0].effect.p_value)  # alone in its family
    assert guarded.effects[1].adjusted_p is None


def test_dunnett_joins_the_arms_of_a_metric() -> None:
    units = table({"control": 0.0, "one": 0.01, "two": 0.02})
    readout = read(units, (CLICKS,), AnalysisPlan(correction="dunnett"), variants=THREE)
    variants, clicks = units["variant"].to_numpy(zero_copy_only=False), units["click"].to_numpy()
    arms = [Moments.of(("numerator",), clicks[variants == name][:, None]) for name in ("control", "one", "two")]
    both = Moments(
        ("numerator",),
        np.array([arm.n for arm in arms[1:]]),
        np.stack([arm.mean for arm in arms[1:]]),
        np.stack([arm.comoment for arm in arms[1:]]),
    )
    expected = dunnett.effects(arms[0], both, 0.95).p_value
    assert [comparison.adjusted_p for comparison in readout.effects] == pytest.approx(expected.tolist(), rel=1e-6)
    alone = [comparison.effect.p_value for comparison in readout.effects]
    assert all(p < joint < 2 * p for p, joint in zip(alone, expected, strict=True))


def test_the_decision_corrects_as_the_plan_says() -> None:
    units = table({"control": 0.0, "one": 0.027, "two": 0.0}, seed=55)  # p = 0.032, not enough for two questions
    verdicts = {}
    for name in ("none", "by"):
        plan = AnalysisPlan(correction=name, sequential="none")  # type: ignore[arg-type]
        readout = read(units, (CLICKS,), plan, variants=THREE, planned_units=None)
        assert 0.02 < readout.effects[0].effect.p_value < 0.05
        verdicts[name] = decide(readout, RULE, AS_OF)
    assert verdicts["none"].verdict == "ship"
    assert verdicts["by"].verdict == "continue"
    assert "after Benjamini-Yekutieli" in verdicts["by"].reasons[0]


def test_segments_have_effects_an_interaction_test_and_are_drawn_together() -> None:
    units = table({"control": 0.0, "treatment": 0.05}, n=3_000)
    moved = units["click"].to_numpy().copy()
    country, variant = (units[name].to_numpy(zero_copy_only=False) for name in ("country", "variant"))
    moved[(country == "SE") & (variant == "treatment")] += 2.0
    units = units.set_column(1, "click", pa.array(moved))
    readout = read(units, plan=AnalysisPlan(segments=("country",)))
    clicks = [comparison for comparison in readout.segments if comparison.metric.name == "clicks"]
    assert [c.segment.value for c in clicks if c.segment] == ["DK", "FI", "IS", "NO", "SE"]
    sweden = clicks[-1]
    assert sweden.effect.relative == pytest.approx(0.25, abs=0.05)
    whole = readout.effects[0].effect.relative
    for comparison in clicks:
        assert comparison.shrunken is not None
        assert abs(comparison.shrunken - whole) <= abs(comparison.effect.relative - whole) + 0.01
    found = {test.metric: test.p_value for test in readout.interactions}
    assert found["clicks"] < 1e-4
    assert found["buys"] > 0.01
    assert "differs by country" in words.interaction_sentence(readout.interactions[0])
    assert any(check.name == "sample ratio by country" and not check.alarm for check in readout.checks)
    assert from_json(Readout, to_json(Readout, readout)) == readout


def test_segments_may_be_part_of_the_family() -> None:
    units = table({"control": 0.0, "treatment": 0.02})
    apart = read(units, (CLICKS,), AnalysisPlan(segments=("country",)))
    together = read(units, (CLICKS,), AnalysisPlan(segments=("country",), family=("metrics", "arms", "segments")))
    assert apart.effects[0].adjusted_p == pytest.approx(apart.effects[0].effect.p_value)
    p_values = [c.effect.p_value for c in (*together.effects, *together.segments)]
    adjusted = [c.adjusted_p for c in (*together.effects, *together.segments)]
    assert adjusted == pytest.approx(multiple.holm(p_values))


def test_an_attribute_of_many_values_shows_the_largest() -> None:
    units = table({"control": 0.0, "treatment": 0.0})
    cities = pa.array([f"city{i % 40:02}" if i % 3 else "capital" for i in range(len(units))])
    readout = read(units.append_column("city", cities), (CLICKS,), AnalysisPlan(segments=("city",)))
    assert len(readout.segments) == 30
    assert any(c.segment is not None and c.segment.value == "capital" for c in readout.segments)
    assert "city has 41 values; the 30 largest are shown." in readout.warnings


def test_a_posterior_comes_on_request_and_may_decide() -> None:
    units = table({"control": 0.0, "treatment": 0.05})
    plan = AnalysisPlan(bayesian=True, prior_sd=0.05, sequential="none")
    readout = read(units, (CLICKS,), plan, planned_units=None)
    posterior = readout.effects[0].posterior
    assert posterior is not None
    assert posterior.chance_to_win > 0.99
    assert 0 <= posterior.risk_treatment < 0.001 < posterior.risk_control
    assert abs(posterior.relative) < abs(readout.effects[0].effect.relative)  # the prior pulls towards no lift
    decision = decide(readout, replace(RULE, expected_loss=0.001), AS_OF)
    assert decision.verdict == "ship"
    assert "choosing it wrongly costs" in decision.reasons[0]
    frequentist = read(units, (CLICKS,), planned_units=None)
    without = decide(frequentist, replace(RULE, expected_loss=0.01), AS_OF)
    assert without.verdict != "ship"
    assert "set bayesian in the analysis plan" in without.reasons[0]


def test_a_guardrail_with_a_margin_says_how_sure_its_harm_is_excluded() -> None:
    readout = read(table({"control": 0.0, "treatment": 0.1}), (CLICKS, GUARD), planned_units=None)
    assert readout.effects[1].non_inferiority_p is not None
    assert readout.effects[1].non_inferiority_p < 1e-6
    few = read(table({"control": 0.0, "treatment": 0.4}, n=40), (CLICKS, GUARD), planned_units=None)
    strict = replace(RULE, guardrails="non_inferior")
    assert decide(few, RULE, AS_OF).verdict == "ship"
    assert decide(few, strict, AS_OF).verdict == "continue"


@pytest.fixture(scope="module")
def world() -> Any:
    return make_world(2_000, lift=0.25, seed=4)


def with_plan(world: Any, days: int = 30, **plan: Any) -> Readout:
    made = experiment(analysis=AnalysisPlan(**plan), planned_units=1_900)
    return analyse(made, METRICS[:1], world.exposures, world.outcomes, as_of=START + timedelta(days=days))


def test_planned_looks_spend_the_error_rate(world: Any) -> None:
    every = with_plan(world, sequential="obrien_fleming")
    assert all("looks planned (obrien fleming spending" in c.effect.method for c in every.daily)
    assert len(every.daily) > 10
    four = with_plan(world, sequential="pocock", looks=4)
    assert 3 <= len(four.daily) <= 4  # nobody is exposed twice for the first time: some parts fall on one day
    assert evidence(four) == four.daily[-1:]


def test_the_last_look_decides_and_not_the_test_that_is_read_once(world: Any) -> None:
    readout = with_plan(world, sequential="obrien_fleming")
    last = evidence(readout)[0]
    assert last.day is not None
    assert last.effect.p_value >= readout.effects[0].effect.p_value
    assert decide(readout, RULE, AS_OF).verdict == "ship"


def test_a_plan_without_looks_decides_nothing_early(world: Any) -> None:
    early = with_plan(world, days=5, sequential="none")
    decision = decide(early, RULE, AS_OF)
    assert decision.verdict == "continue"
    assert "The plan has no early looks: what is seen before its end decides nothing." in decision.reasons


def test_looks_fall_on_the_first_day_that_reaches_each_part() -> None:
    units = np.array([10, 240, 260, 400, 510, 900, 1_100])
    assert look_days(units, 1_000.0, 4) == [2, 4, 5, 6]
    assert look_days(units, 1_000.0, None) == [0, 1, 2, 3, 4, 5, 6]
    assert look_days(units, 1_000.0, 1) == [6]
    assert group_sequential.looks_of(units, 1_000.0)[0].tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_planned_looks_need_a_planned_sample(world: Any) -> None:
    made = experiment(analysis=AnalysisPlan(sequential="pocock"), planned_units=None)
    with pytest.raises(ValueError, match="give planned_units, or use confidence_sequence"):
        analyse(made, METRICS[:1], world.exposures, world.outcomes, as_of=AS_OF)


def test_the_words_say_how_and_what_peeking_costs(world: Any) -> None:
    costs = {name: words.method_sentences(with_plan(world, sequential=name))[0] for name in ("none", "pocock")}
    assert "is wrong 27% of the time, not 5%" in costs["none"]
    assert "a power of about 69%" in costs["pocock"]
    readout = read(table({"control": 0.0, "one": 0.03, "two": 0.02}), variants=THREE)
    assert any("4 questions are asked at once" in sentence for sentence in words.method_sentences(readout))


def test_a_missing_posterior_is_said() -> None:
    readout = read(table({"control": 0.0, "treatment": 0.05}), (CLICKS,))
    assert words.posterior_sentence(readout.effects[0]) == "There is no posterior for clicks of treatment."
    assert math.isnan(readout.effects[0].effect.p_value) is False


@pytest.mark.parametrize("name", SPENDING)
def test_every_spending_can_be_planned_and_its_words_tell_its_power(world: Any, name: Any) -> None:
    readout = with_plan(world, sequential=name)
    assert name.replace("_", " ") in readout.daily[-1].effect.method
    daily = np.arange(1, 29) / 28
    drift = spending.drift_for([1.0], spending.boundaries([1.0]), 0.8)
    power = spending.power(daily, spending.boundaries(daily, spending=name), drift)
    told = float(re.findall(r"power of about (\d+)%", words.method_sentences(readout)[0])[0])
    assert told == pytest.approx(100 * power, abs=1.1)  # O'Brien-Fleming: 77 measured, 78.07 in theory


def test_strata_take_their_variance_out_of_the_effect() -> None:
    units = table({"control": 0.0, "treatment": 0.05}, n=2_000)
    country, variant = (units[name].to_numpy(zero_copy_only=False) for name in ("country", "variant"))
    clicks = units["click"].to_numpy() + np.select([country == "SE", country == "NO"], [8.0, -4.0], 0.0)
    units = units.set_column(1, "click", pa.array(clicks))
    plan = AnalysisPlan(segments=("country",), stratify="country")
    adjusted = Metric(name="adjusted", kind="mean", numerator="buy", covariate="guard")
    readout = read(units, (CLICKS, adjusted), plan)
    comparison = readout.effects[0]
    arms = [
        [Moments.of(("numerator",), clicks[(variant == v) & (country == c)][:, None]) for c in sorted(set(country))]
        for v in ("control", "treatment")
    ]
    stacked = [
        Moments(("numerator",), *(np.stack([getattr(m, name) for m in arm]) for name in ("n", "mean", "comoment")))
        for arm in arms
    ]
    expected = poststratification.effect(stacked[0], stacked[1], 0.95)
    assert comparison.effect.absolute == pytest.approx(expected.absolute, rel=1e-9)
    assert comparison.effect.ci == pytest.approx(expected.ci, rel=1e-7)
    assert comparison.unadjusted is not None
    assert comparison.variance_saved == pytest.approx(1 - (comparison.effect.se / comparison.unadjusted.se) ** 2)
    assert comparison.variance_saved > 0.5
    assert any(s.startswith("Post-stratification saves") for s in words.method_sentences(readout))
    assert readout.effects[1].effect.method.startswith("CUPED")
    plain = read(units, (CLICKS,), AnalysisPlan(segments=("country",))).effects[0]
    assert comparison.unadjusted == plain.effect


def test_strata_must_be_segments_that_are_shown() -> None:
    units = table({"control": 0.0, "treatment": 0.05}, n=50)
    with pytest.raises(ValueError, match=r"stratify must be one of the segments \(none\), got country"):
        read(units, (CLICKS,), AnalysisPlan(stratify="country"))

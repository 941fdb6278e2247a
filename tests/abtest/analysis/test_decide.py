import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abtest.analysis.decide import decide, guard
from abtest.types import Arm, Comparison, Decision, DecisionRule, Effect, Metric, Readout, SampleRatio

FIRST = datetime(2024, 3, 1, 12, tzinfo=UTC)
CTR = Metric(name="ctr", kind="ratio", numerator="click", denominator="impressions", role="primary")
REVENUE = Metric(name="revenue", kind="mean", numerator="purchase.value", role="guardrail", margin=0.02)
RULE = DecisionRule(min_days=7, min_units=100)


def effect(relative: float, se: float = 0.01, **changes: Any) -> Effect:
    z = abs(relative) / se
    low, high = relative - 1.96 * se, relative + 1.96 * se
    given = {
        "control": 0.1,
        "treatment": 0.1 * (1 + relative),
        "absolute": 0.1 * relative,
        "relative": relative,
        "se": 0.1 * se,
        "ci": (0.1 * low, 0.1 * high),
        "relative_ci": (low, high),
        "p_value": math.erfc(z / math.sqrt(2)),
        "method": "test",
        "level": 0.95,
    }
    return Effect(**(given | changes))


def comparison(
    metric: Metric, relative: float, variant: str = "treatment", day: date | None = None, **changes: Any
) -> Comparison:
    return Comparison(metric=metric, variant=variant, effect=effect(relative, **changes), day=day)


def ratio(p_value: float = 0.4) -> SampleRatio:
    return SampleRatio(chi_square=1.0, p_value=p_value, deviation=0.013, alpha=0.001, alarm=p_value < 0.001)


def readout(*effects: Comparison, units: int = 1_000, days: int = 14, **changes: Any) -> Readout:
    variants = list(dict.fromkeys(["control", *(c.variant for c in effects)])) if effects else ["control", "treatment"]
    given = {
        "experiment": "exp",
        "as_of": FIRST + timedelta(days=60),
        "control": "control",
        "first": FIRST,
        "last": FIRST + timedelta(days=days - 1),
        "arms": tuple(
            Arm(variant=v, share=1 / len(variants), units=units // len(variants), exposures=9) for v in variants
        ),
        "srm": ratio(),
        "effects": effects,
        "planned_units": 900,
    }
    return Readout(**(given | changes))


def verdict(*effects: Comparison, rule: DecisionRule = RULE, **changes: Any) -> Decision:
    return decide(readout(*effects, **changes), rule, FIRST)


def test_a_better_primary_and_holding_guardrails_ship() -> None:
    decision = verdict(comparison(CTR, 0.031, se=0.0097), comparison(REVENUE, 0.0, se=0.005))
    assert (decision.verdict, decision.winner) == ("ship", "treatment")
    assert decision.reasons == (
        "Treatment lifts CTR by 3.1% (95% interval 1.2% to 5.0%).",
        "Guardrails hold for treatment: revenue.",
        "The sample ratio is fine (p = 0.40).",
        "The planned sample of 900 units is reached.",
    )


def test_a_sample_ratio_alarm_is_invalid_whatever_the_effects_say() -> None:
    decision = verdict(comparison(CTR, 0.2), srm=ratio(1e-6))
    assert (decision.verdict, decision.winner) == ("invalid", None)
    assert "an arm is off by 1.3%" in decision.reasons[0]
    assert not any("ctr" in reason for reason in decision.reasons)


def test_the_rules_own_alarm_level_counts_too() -> None:
    assert verdict(comparison(CTR, 0.2), srm=ratio(0.005)).verdict == "ship"
    assert verdict(comparison(CTR, 0.2), srm=ratio(0.005), rule=DecisionRule(srm_alpha=0.01)).verdict == "invalid"


def test_a_broken_guardrail_stops_a_better_primary() -> None:
    decision = verdict(comparison(CTR, 0.1), comparison(REVENUE, -0.08))
    assert decision.verdict == "stop"
    assert any("Guardrail revenue of treatment is broken: -8.0%" in reason for reason in decision.reasons)
    assert any("beyond the margin of 2.0%" in reason for reason in decision.reasons)


def test_an_open_guardrail_is_said_and_does_not_block() -> None:
    decision = verdict(comparison(CTR, 0.1), comparison(REVENUE, -0.01, se=0.02))
    assert decision.verdict == "ship"
    assert any("revenue of treatment is not shown harmed, nor shown safe" in reason for reason in decision.reasons)


def test_a_worse_primary_stops() -> None:
    decision = verdict(comparison(CTR, -0.1))
    assert decision.verdict == "stop"
    assert "Treatment lowers CTR by 10.0% (95% interval -12.0% to -8.0%), which is worse" in decision.reasons[0]


def test_down_is_better_where_down_is_wanted() -> None:
    latency = Metric(name="latency", kind="mean", numerator="wait.value", direction="decrease", role="primary")
    assert verdict(comparison(latency, -0.1)).verdict == "ship"
    assert verdict(comparison(latency, 0.1)).verdict == "stop"


def test_no_difference_after_the_planned_sample_stops() -> None:
    decision = verdict(comparison(CTR, 0.004))
    assert decision.verdict == "stop"
    assert "No clear difference in CTR between treatment and control: +0.4%" in decision.reasons[0]
    assert "No variant is shown to be better, and no more data is planned." in decision.reasons


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"units": 90}, "Too few units to judge: 90 of at least 100."),
        ({"units": 0}, "Too few units to judge: 0 of at least 100."),
        ({"days": 3}, "Only 3 of at least 7 days are in."),
        ({"units": 800}, "800 of 900 planned units are in (88%)."),
    ],
)
def test_nothing_ships_before_its_time(changes: dict[str, Any], words: str) -> None:
    decision = verdict(comparison(CTR, 0.5), **changes)
    assert (decision.verdict, decision.winner) == ("continue", None)
    assert words in decision.reasons


def test_before_the_plan_is_complete_only_the_always_valid_effects_count() -> None:
    fixed, always = comparison(CTR, -0.03), comparison(CTR, -0.03, se=0.02, day=date(2024, 3, 14))
    early = comparison(CTR, -0.9, day=date(2024, 3, 2))
    assert verdict(fixed, daily=(early, always), units=800).verdict == "continue"
    assert verdict(fixed, daily=(early, always), units=1_000).verdict == "stop"
    assert verdict(fixed, daily=(comparison(CTR, -0.2, day=date(2024, 3, 14)),), units=800).verdict == "stop"


def test_the_planned_end_completes_an_experiment_that_missed_its_sample() -> None:
    over, running = FIRST + timedelta(days=20), FIRST + timedelta(days=90)
    assert verdict(comparison(CTR, 0.1), units=800, ends=over).verdict == "ship"
    assert verdict(comparison(CTR, 0.1), units=800, ends=running).verdict == "continue"


def test_without_a_plan_a_clear_always_valid_effect_ships_and_none_continues() -> None:
    clear, unclear = (comparison(CTR, size, day=date(2024, 3, 14)) for size in (0.1, 0.001))
    assert verdict(comparison(CTR, 0.1), daily=(clear,), planned_units=None).verdict == "ship"
    decision = verdict(comparison(CTR, 0.001), daily=(unclear,), planned_units=None)
    assert decision.verdict == "continue"
    assert "Without a planned sample, no difference looks like no data." in decision.reasons


def test_the_best_of_several_winners_ships() -> None:
    decision = verdict(
        comparison(CTR, 0.05, "one"), comparison(CTR, 0.09, "two"), comparison(CTR, 0.07, "three"), units=2_000
    )
    assert (decision.verdict, decision.winner) == ("ship", "two")
    assert decision.reasons[0].startswith("two lifts CTR by 9.0%")


def test_several_questions_are_corrected_for() -> None:
    alone = comparison(CTR, 0.022)  # p = 0.028
    assert verdict(alone).verdict == "ship"
    decision = verdict(alone, comparison(CTR, 0.0, "other"))
    assert decision.verdict == "stop"
    assert "With 2 questions asked at once this is not enough (p = 0.056 after Holm)." in decision.reasons[0]


def test_one_harmful_arm_is_turned_off_while_the_other_ships() -> None:
    effects = comparison(CTR, 0.1, "good"), comparison(CTR, -0.1, "bad")
    assert verdict(*effects).winner == "good"
    waiting = verdict(*effects, days=2)
    assert waiting.verdict == "continue"
    assert "Turn bad off now: it harms." in waiting.reasons


def test_an_effect_that_cannot_be_computed_decides_nothing() -> None:
    nothing = comparison(CTR, 0.0, p_value=math.nan, ci=(math.nan, math.nan), reason="no variance")
    decision = verdict(nothing)
    assert decision.verdict == "continue"
    assert decision.reasons[0] == "The effect of treatment on CTR cannot be computed: no variance."


def test_without_a_primary_metric_there_is_nothing_to_decide() -> None:
    decision = verdict(comparison(REVENUE, 0.5))
    assert decision.verdict == "continue"
    assert "No primary metric" in decision.reasons[0]


@pytest.mark.parametrize(
    ("relative", "se", "direction", "expected"),
    [
        (0.0, 0.005, "increase", "holds"),
        (-0.01, 0.004, "increase", "holds"),
        (-0.01, 0.01, "increase", "open"),
        (-0.05, 0.01, "increase", "broken"),
        (0.05, 0.01, "decrease", "broken"),
        (-0.05, 0.01, "decrease", "holds"),
    ],
)
def test_a_guardrail_holds_when_its_bad_end_is_within_the_margin(
    relative: float, se: float, direction: Any, expected: str
) -> None:
    metric = Metric(name="g", kind="mean", numerator="x", role="guardrail", margin=0.02, direction=direction)
    assert guard(comparison(metric, relative, se=se)) == expected


def test_a_guardrail_without_a_lift_is_judged_by_its_difference() -> None:
    missing = (math.nan, math.nan)
    assert guard(comparison(REVENUE, 0.0, relative_ci=missing, ci=(-3.0, -1.0))) == "broken"
    assert guard(comparison(REVENUE, 0.0, relative_ci=missing, ci=(-3.0, 1.0))) == "open"
    assert guard(comparison(REVENUE, 0.0, relative_ci=missing, ci=missing)) == "open"
    assert guard(comparison(REVENUE, 0.0, relative_ci=(-math.inf, math.inf))) == "open"


@given(
    st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(0.001, 0.1), st.integers(0, 2_000), st.integers(1, 30),
    st.floats(0, 1),
)  # fmt: skip
def test_only_a_sound_complete_better_and_harmless_experiment_ships(
    primary: float, guardrail: float, se: float, units: int, days: int, p_value: float
) -> None:
    effects = comparison(CTR, primary, se=se), comparison(REVENUE, guardrail, se=se)
    decision = verdict(*effects, units=units, days=days, srm=ratio(p_value))
    sound = p_value >= 0.001 and units >= 900 and days >= 7
    better = primary > 0 and effects[0].effect.p_value < 0.05
    harmless = guardrail + 1.96 * se >= -0.02
    assert (decision.verdict == "ship") == (sound and better and harmless and 2 * (units // 2) >= 900)
    assert (decision.winner is not None) == (decision.verdict == "ship")
    assert decision.reasons

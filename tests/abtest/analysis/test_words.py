import math
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from abtest.analysis import words
from abtest.types import Comparison, Decision, DecisionRule, Effect, Metric, SampleRatio

EFFECT = Effect(
    control=0.1,
    treatment=0.1031,
    absolute=0.0031,
    relative=0.031,
    se=0.00097,
    ci=(0.0012, 0.005),
    relative_ci=(0.012, 0.05),
    p_value=0.0014,
    method="delta method",
    level=0.95,
)
METRIC = Metric(name="revenue_per_user", kind="mean", numerator="purchase.value", unit="EUR")
LIFT = Comparison(metric=METRIC, variant="treatment", effect=EFFECT)


def changed(**changes: object) -> Comparison:
    return replace(LIFT, effect=replace(EFFECT, **changes))  # type: ignore[arg-type]


def test_a_clear_effect_is_told_with_its_size_and_its_doubt() -> None:
    assert words.effect_sentence(LIFT) == "Treatment lifts revenue per user by 3.1% (95% interval 1.2% to 5.0%)."


def test_an_unclear_effect_is_called_no_clear_difference() -> None:
    sentence = words.effect_sentence(changed(p_value=0.2, relative=0.004, relative_ci=(-0.010, 0.018)), "als")
    assert sentence == (
        "No clear difference in revenue per user between treatment and als: +0.4% (95% interval -1.0% to 1.8%)."
    )


def test_what_has_no_relative_interval_is_told_in_its_own_unit() -> None:
    for interval in ((-math.inf, math.inf), (math.nan, math.nan)):
        sentence = words.effect_sentence(changed(relative_ci=interval))
        assert sentence == ("Treatment lifts revenue per user by 0.0031 EUR (95% interval 0.0012 EUR to 0.0050 EUR).")


def test_the_wrong_way_is_called_worse() -> None:
    down = replace(LIFT, metric=replace(METRIC, direction="decrease"))
    assert words.effect_sentence(down).endswith(", which is worse: decrease is wanted.")
    assert words.colour(down) == "bad"
    assert words.colour(LIFT) == "good"
    assert words.colour(changed(p_value=0.3)) == "neutral"


def test_a_day_says_that_its_interval_is_always_valid() -> None:
    assert "95% always-valid interval" in words.effect_sentence(replace(LIFT, day=date(2024, 3, 1)))


def test_what_cannot_be_computed_says_why() -> None:
    nothing = changed(p_value=math.nan, reason="no units in control")
    expected = "The effect of treatment on revenue per user cannot be computed: no units in control."
    assert words.effect_sentence(nothing) == expected
    assert words.how_sure(nothing) == "Nothing can be said: no units in control."


def test_names_of_models_stay_as_they_are() -> None:
    assert words.effect_sentence(replace(LIFT, variant="als_v2")).startswith("als_v2 lifts")


@pytest.mark.parametrize(
    ("p_value", "expected"),
    [
        (0.7, "in more than half of"),
        (0.0014, "in about 1 of 710"),
        (3.04e-7, "in about 1 of 3,300,000"),
        (0.0, "in less than 1 of a billion"),
    ],
)
def test_how_sure_is_a_sentence_about_chance(p_value: float, expected: str) -> None:
    sentence = words.how_sure(changed(p_value=p_value))
    assert sentence == f"If nothing had changed, a gap this large would still show up {expected} such experiments."


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.031, "3.1%"), (0.124, "12%"), (0.0035, "0.35%"), (0.0, "0.0%"), (-0.0000001, "-0.000010%")],
)
def test_percent_shows_two_digits(share: float, expected: str) -> None:
    assert words.percent(share) == expected


def test_numbers_have_no_minus_zero_and_infinity_is_a_word() -> None:
    assert words.number(-0.00001, 1) == "0.0"
    assert words.number(0.0, 1, sign=True) == "0.0"
    assert words.number(12_345.6, 1, sign=True) == "+12,345.6"
    assert words.number(-math.inf, 1) == "minus without end"


def test_the_sample_ratio_is_told_with_its_size() -> None:
    fine = SampleRatio(chi_square=0.1, p_value=0.4, deviation=0.001, alpha=0.001, alarm=False)
    assert words.ratio_sentence(fine) == "The sample ratio is fine (p = 0.40)."
    broken = replace(fine, p_value=1e-9, deviation=0.013, alarm=True)
    assert "off by 1.3% (p < 0.0001, alarm below 0.001)" in words.ratio_sentence(broken)
    early = replace(fine, p_value=math.nan, reason="too early")
    assert words.ratio_sentence(early) == "The sample ratio cannot be checked: too early."


def test_a_decision_is_a_headline_a_next_step_and_its_reasons() -> None:
    decision = Decision(
        experiment="exp",
        verdict="ship",
        winner="als",
        reasons=("One.", "Two."),
        rule=DecisionRule(),
        at=datetime(2024, 3, 1, tzinfo=UTC),
    )
    assert words.summary(decision) == "Ship als. One. Two."
    assert words.next_step(decision).startswith("Promote als")
    for verdict in ("stop", "continue", "invalid"):
        other = replace(decision, verdict=verdict, winner=None)
        assert words.verdict_sentence(other).endswith(".")
        assert "None" not in words.summary(other) + words.next_step(other)

"""The charts of slates, plans, promises and traffic: what is in them."""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from abtest.analysis.traffic import DayCount
from abtest.events.pace import Pace, Step
from dashboards import pace_charts, pace_words, plan_charts, plan_words, promise_charts, slate_charts, slate_tables
from experiments.offline_online import Difference, Point, Prediction
from experiments.plans import Forecast, Reach
from experiments.slates import Overlap, Place, Profile
from tests.dashboards.test_charts import marked, rows_of
from tests.experiments.test_plans import past

NAN = math.nan
START = datetime(2025, 1, 6, tzinfo=UTC)


def profile(variant: str, novelty: tuple[float, ...]) -> Profile:
    return Profile(
        variant=variant, slates=3, users=2, distinct_items=5, fallback=0.25,
        categories={"fruit": 0.75, "other": 0.25}, tiers={"most popular 1%": 1.0, "next 9%": NAN},
        novelty=novelty, diversity=(),
    )  # fmt: skip


PROFILES = [profile("x", (1.0, 2.0, 3.0, 3.0)), profile("y", (2.0,))]
OVERLAP = Overlap(one="x", other="y", k=2, users=4, shared=(0.0, 0.5, 0.5, 1.0), same_first=0.25)
POINT = Point(
    experiment="e", title="e", control="a", treatment="b", metric="ctr", lift=0.1, low=0.05, high=0.15,
    offline={"ndcg_10": Difference(value=-0.1, low=NAN, high=NAN)},
)  # fmt: skip
PREDICTION = Prediction(
    metric="ndcg_10", n=6, rank=0.5, rank_low=-0.2, rank_high=0.9, agree=3, decided=4, share=0.75, share_low=0.3,
    share_high=0.95,
)  # fmt: skip
PACE = Pace(
    last_exposure=START, last_outcome=None, step=timedelta(hours=1),
    steps=(
        Step(start=START - timedelta(hours=1), exposures=4, fallbacks=1),
        Step(start=START, exposures=0, fallbacks=0),
    ),
)  # fmt: skip
COUNTS = [DayCount(day=date(2025, 1, 6), variant=name, units=3, exposures=5) for name in ("x", "y")]
REACHES = [Reach(days=7, units=100.0, lift=0.2), Reach(days=14, units=0.0, lift=math.inf)]


def test_shares_leave_out_what_is_not_known_and_never_draw_it_as_nothing() -> None:
    rows = rows_of(slate_charts.shares(PROFILES, "tiers", "Share"), "point")
    assert {row["name"] for row in rows} == {"most popular 1%"}


def test_spread_counts_every_slate_once_and_draws_its_last_step() -> None:
    rows = [row for row in rows_of(slate_charts.spread(PROFILES, "novelty", "Bits"), "line") if row["variant"] == "x"]
    assert sum(row["share"] for row in rows[:-1]) == pytest.approx(1.0)
    assert rows[-1]["from"] == rows[-1]["to"] == 3.0
    assert rows[-1]["share"] == rows[-2]["share"] == pytest.approx(0.5)


def test_overlap_counts_users_by_items_in_common() -> None:
    assert [row["share"] for row in rows_of(slate_charts.overlap([OVERLAP]), "bar")] == [0.25, 0.5, 0.25]
    assert "share 50% of their 2 places" in slate_tables.overlap_sentence(OVERLAP)
    assert "1 of them get two lists with nothing in common" in slate_tables.overlap_sentence(OVERLAP)


def test_list_marks_places_that_a_fallback_filled() -> None:
    places = [Place(rank=1, item="a", title="Apple", score=0.51234), Place(rank=2, item="b", title="Bread", score=NAN)]
    assert list(slate_tables.listed(places)["Score"]) == ["0.512", "fallback"]
    assert list(slate_tables.listed([]).columns) == ["#", "Item", "Why", "Score"]


def test_power_curve_marks_the_lift_only_where_it_is_on_the_curve() -> None:
    curve = [(0.1, 0.3), (0.2, 0.9)]
    assert len(marked(plan_charts.power_curve(curve, 0.8, 0.15), "rule")[1][1]) == 1
    assert marked(plan_charts.power_curve(curve, 0.8, 0.5), "rule")[1][1] == []


def test_days_that_find_nothing_are_not_drawn() -> None:
    assert [row["days"] for row in rows_of(plan_charts.reach_curve(REACHES, 14), "line")] == [7]


def test_scatter_says_by_shape_and_colour_whether_the_sign_was_right() -> None:
    chart = promise_charts.scatter([POINT], "ndcg_10")
    (row,) = rows_of(chart, "point")
    assert row["sign"] == "wrong sign"
    assert row["low_x"] == row["high_x"] == -0.1  # no interval is no bar, not a bar to nowhere
    shapes, colours = zip(*promise_charts.SIGNS.values(), strict=True)
    assert len(set(shapes)) == len(set(colours)) == len(promise_charts.SIGNS)
    assert promise_charts.scatter([POINT], "recall_10").to_dict()["layer"]


def test_pace_is_told_with_its_age_and_fallbacks() -> None:
    said = pace_words.lag(PACE, START + timedelta(minutes=90))
    assert said == "The newest slate is 1.5 hours old (6 Jan 2025, 00:00 UTC). No outcome is in the log."
    assert "4 slates, 25.0% of them filled by a fallback" in pace_words.fallbacks(PACE)


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (6.2, "takes 7 days."),
        (15.0, "Round up to whole weeks"),
        (800.0, "2.2 years"),
        (math.inf, "never"),
        (NAN, "not known"),
    ],
)
def test_run_time_is_a_sentence(days: float, said: str) -> None:
    assert said in plan_words.duration(days)


def test_plan_answers_in_units_arms_and_days() -> None:
    said = plan_words.answer(past(), Forecast(lift=0.05, units=50_232.1, days=20.3), 0.8, 2)
    assert "+5.0% in Revenue per user with 80% power: 50,233 units, 25,117 in each of 2 arms." in said
    assert "No number of units" in plan_words.answer(past(), Forecast(lift=0.0, units=math.inf, days=NAN), 0.8, 2)
    table = plan_words.history(past()).set_index("What")["Value"]
    assert table["Spread of one unit"] == "2.00 times the value"


@pytest.mark.parametrize(
    "chart",
    [
        slate_charts.shares(PROFILES, "categories", "Share"),
        slate_charts.shares([], "categories", "Share"),
        slate_charts.spread(PROFILES, "novelty", "Bits"),
        slate_charts.spread(PROFILES, "diversity", "Unlikeness"),
        slate_charts.overlap([OVERLAP]),
        plan_charts.power_curve([(0.1, NAN), (0.2, 0.5)], 0.8, NAN),
        plan_charts.reach_curve(REACHES, 14),
        promise_charts.scatter([POINT], "ndcg_10"),
        promise_charts.ranks([PREDICTION]),
        pace_charts.by_day(COUNTS, "units"),
        pace_charts.by_day([], "exposures"),
        pace_charts.by_time(PACE),
    ],
)
def test_every_chart_is_valid_vega_lite_without_nan(chart: Any) -> None:
    text = chart.to_json()  # validates against the schema
    assert "NaN" not in text
    assert "Infinity" not in text

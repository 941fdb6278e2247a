"""What is in the charts: their data, their zero lines, their colours."""

import math
from dataclasses import replace
from typing import Any

import pytest

from abtest.types import Comparison
from dashboards import board_charts, charts, palette
from dashboards.palette import BLUE, COLOURS, GREY, ORANGE, SERIES, SHAPES, series_colour, series_shape
from dashboards.reading import READINGS
from tests.dashboards.worlds import CONVERSION, CTR, RETURNS, REVENUE, UNFIT, board, cell, comparisons, course, effect


def layers(chart: Any) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each layer with its rows, which Altair keeps by name."""
    spec = chart.to_dict()
    return [(layer, spec["datasets"][layer.get("data", spec.get("data"))["name"]]) for layer in spec["layer"]]


def marked(chart: Any, mark: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The layers of one kind of mark."""
    return [(layer, rows) for layer, rows in layers(chart) if layer["mark"]["type"] == mark]


def rows_of(chart: Any, mark: str) -> list[dict[str, Any]]:
    """The rows of the only layer of that kind."""
    ((_, rows),) = marked(chart, mark)
    return rows


def drawn(chart: Any) -> list[dict[str, Any]]:
    """The rows of the layer with the points."""
    return rows_of(chart, "point")


def test_forest_has_a_zero_line_and_a_row_per_metric_in_order() -> None:
    chart = charts.forest(comparisons())
    assert marked(chart, "rule")[0][1] == [{"zero": 0}]
    assert [row["row"] for row in drawn(chart)] == ["Conversion", "Revenue per user", "CTR", "Returns"]
    assert marked(chart, "rule")[1][0]["encoding"]["y"]["sort"] == ["Conversion", "Revenue per user", "CTR", "Returns"]


def test_forest_writes_no_number_across_the_zero_line() -> None:
    ((text, _),) = marked(charts.forest(comparisons()), "text")
    assert text["mark"]["align"] == {"expr": "datum.point >= 0 ? 'left' : 'right'"}
    assert text["mark"]["dx"] == {"expr": "datum.point >= 0 ? 5 : -5"}


def test_forest_paints_by_what_is_wanted_and_not_by_sign() -> None:
    falling = effect(1.0, -0.1, 0.05)
    wanted = Comparison(metric=RETURNS, variant="b", effect=falling)
    unwanted = Comparison(metric=REVENUE, variant="b", effect=falling)
    assert [row["reading"] for row in drawn(charts.forest([wanted, unwanted]))] == ["better", "worse"]


def test_forest_says_the_reading_by_colour_and_by_shape() -> None:
    points = next(
        layer for layer in charts.forest(comparisons()).to_dict()["layer"] if layer["mark"]["type"] == "point"
    )
    assert points["encoding"]["color"]["scale"] == {"domain": list(READINGS), "range": [BLUE, ORANGE, GREY]}
    assert points["encoding"]["shape"]["scale"]["range"] == [SHAPES[name] for name in READINGS]
    assert len(set(SHAPES.values())) == len(set(COLOURS.values())) == len(READINGS)


def test_forest_marks_a_guardrails_margin_on_its_harmful_side() -> None:
    rising = replace(REVENUE, role="guardrail", margin=0.02)
    both = [
        Comparison(metric=RETURNS, variant="b", effect=effect(1.0, 0.0, 0.01)),
        Comparison(metric=rising, variant="b", effect=effect(1.0, 0.0, 0.01)),
        Comparison(metric=CTR, variant="b", effect=effect(1.0, 0.0, 0.01)),
    ]
    assert rows_of(charts.forest(both), "tick") == [
        {"row": "Returns", "margin": 0.05},
        {"row": "Revenue per user", "margin": -0.02},
    ]


def test_forest_leaves_out_what_has_no_interval() -> None:
    unfit = Comparison(metric=CTR, variant="b", effect=UNFIT)
    endless = Comparison(
        metric=CTR, variant="b", effect=replace(effect(1, 0.1, 0.1), relative_ci=(-math.inf, math.inf))
    )
    assert not charts.has_interval([unfit, endless])
    assert len(drawn(charts.forest([unfit, *comparisons()]))) == 4


def test_forest_names_the_variant_where_there_are_several() -> None:
    rows = drawn(charts.forest([*comparisons("fusion")[:1], *comparisons("als")[:1]]))
    assert [row["row"] for row in rows] == ["Conversion · fusion", "Conversion · als"]


def test_course_holds_only_the_chosen_metric_by_day_with_a_zero_line() -> None:
    chart = charts.cumulative(CONVERSION, course(days=3))
    rows = rows_of(chart, "line")
    assert [row["day"] for row in rows] == ["2024-03-04", "2024-03-05", "2024-03-06"]
    assert marked(chart, "rule")[0][1] == [{"zero": 0}]
    assert chart.to_dict()["layer"][0]["encoding"]["x"]["scale"]["type"] == "utc"


def test_course_leaves_an_endless_bound_out_instead_of_writing_infinity() -> None:
    first, second = rows_of(charts.cumulative(CONVERSION, course(days=2)), "line")
    assert first["low"] is None
    assert first["high"] is None
    assert first["interval"] == "no interval"
    assert second["low"] < 0 < second["high"]


def test_course_is_not_flattened_by_the_wide_bands_of_the_first_days() -> None:
    def row(day: int, change: float, half: float) -> dict[str, Any]:
        return {"day": f"2024-03-{day:02}", "change": change, "low": change - half, "high": change + half}

    low, high = charts.visible_range([row(1, 0.02, 9.0), row(2, 0.02, 0.05)])
    assert (low, high) == pytest.approx((-0.08, 0.12))  # the last band and half its width, not the first day's 9.0


def test_course_shows_the_line_even_where_it_leaves_the_band() -> None:
    rows = [
        {"day": "2024-03-01", "change": 0.5, "low": None, "high": None},
        {"day": "2024-03-02", "change": 0.01, "low": 0.0, "high": 0.02},
    ]
    assert charts.visible_range(rows) == [0.0, 0.5]  # nothing lies below zero, so nothing is shown below it
    assert charts.visible_range([]) == [-0.01, 0.01]


def test_tradeoff_has_both_intervals_of_every_variant() -> None:
    rows = drawn(board_charts.tradeoff(board(), "diversity_10"))
    assert [row["variant"] for row in rows] == ["fusion", "als", "item_knn_bm25", "popularity"]
    assert rows[0]["y_low"] < rows[0]["y"] < rows[0]["y_high"]
    assert rows[0]["x_low"] < rows[0]["x"] < rows[0]["x_high"]


def test_tradeoff_leaves_out_a_variant_without_the_metric() -> None:
    made = board()
    bare = replace(made.standings[1], cells={"ndcg_10": cell(0.1, 0.01)})
    rows = drawn(board_charts.tradeoff(replace(made, standings=(made.best, bare)), "diversity_10"))
    assert [row["variant"] for row in rows] == ["fusion"]


def test_metric_by_k_is_ordered_by_k_and_not_by_name() -> None:
    rows = drawn(board_charts.metric_by_k(board(), "ndcg"))
    assert [(row["variant"], row["k"]) for row in rows[:3]] == [("fusion", 5), ("fusion", 10), ("fusion", 20)]


def test_interval_free_metric_is_drawn_as_a_point() -> None:
    rows = drawn(board_charts.metric_by_k(board(), "gini"))
    assert all(row["low"] == row["mean"] == row["high"] for row in rows)
    assert rows[0]["text"] == "0.6234"


@pytest.mark.parametrize("colour", SERIES)
@pytest.mark.parametrize("page", ["#FFFFFF", "#171614"])
def test_every_colour_stands_out_on_both_themes(colour: str, page: str) -> None:
    """3:1 is what WCAG 2.1 asks of graphical objects (criterion 1.4.11)."""
    light, dark = sorted((luminance(colour), luminance(page)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3


def test_no_two_of_thirty_variants_look_the_same() -> None:
    names = [f"v{n}" for n in range(30)]
    colours, shapes = (channel.to_dict() for channel in (series_colour(names, legend=True), series_shape(names)))
    assert len(set(zip(ranged(colours), ranged(shapes), strict=True))) == 30


def ranged(channel: Any) -> list[str]:
    return list(channel["scale"]["range"])


@pytest.mark.parametrize(
    "chart",
    [
        charts.forest(comparisons()),
        charts.forest([]),
        charts.cumulative(CONVERSION, course()),
        charts.cumulative(CONVERSION, []),
        board_charts.tradeoff(board(), "novelty_10"),
        board_charts.metric_by_k(board(), "recall"),
    ],
)
def test_every_chart_is_valid_vega_lite_without_nan(chart: Any) -> None:
    text = chart.to_json()  # validates against the schema
    assert "NaN" not in text
    assert "Infinity" not in text


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2.1."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_signed_axis_writes_no_sign_at_zero() -> None:
    assert "datum.value == 0 ? '0%'" in palette.signed_percent().to_dict()["labelExpr"]

"""The charts of promises and lifts: points in, Altair out. Pure; they stand on a light and on a dark page."""

import math
from collections.abc import Sequence

import altair as alt

from dashboards.numbers import fixed, label, lift
from dashboards.palette import BLUE, GREY, ORANGE, layered, signed_percent, values, zero_line
from experiments.offline_online import Point, Prediction

HEIGHT = 380
ROW = 30
"""Pixels for one metric."""


SIGNS = {"right sign": ("circle", BLUE), "wrong sign": ("cross", ORANGE), "lift not sure": ("diamond", GREY)}
"""What a point says about its offline metric: shape and colour, so that either is enough."""


def scatter(points: Sequence[Point], metric: str) -> alt.LayerChart:
    """The measured lift (upwards) against the offline difference (to the right), each with its interval.

    Up right and down left of the two zero lines, the offline metric had the right sign.
    """
    rows = [_row(point, metric) for point in points if metric in point.offline]
    x = alt.X(
        "low_x:Q",
        title=f"Offline difference in {label(metric)}",
        scale=alt.Scale(padding=20),
        axis=alt.Axis(tickCount=8),
    )
    y = alt.Y("low_y:Q", title="Measured lift", axis=signed_percent(), scale=alt.Scale(padding=20))
    tooltip = [
        alt.Tooltip("title:N", title="Experiment"),
        alt.Tooltip("arms:N", title="Arms"),
        alt.Tooltip("x_text:N", title="Offline"),
        alt.Tooltip("y_text:N", title="Measured"),
    ]
    legend = alt.Legend(title=None, orient="top", symbolOpacity=1, symbolStrokeWidth=1)
    shape = alt.Shape(
        "sign:N", scale=alt.Scale(domain=list(SIGNS), range=[s for s, _ in SIGNS.values()]), legend=legend
    )
    colour = alt.Color(
        "sign:N", scale=alt.Scale(domain=list(SIGNS), range=[c for _, c in SIGNS.values()]), legend=legend
    )
    chart = alt.Chart(values(rows)).encode(tooltip=tooltip, color=colour)
    across = chart.mark_rule(strokeWidth=2, opacity=0.6).encode(x=x, x2="high_x:Q", y="y:Q")
    upwards = chart.mark_rule(strokeWidth=2, opacity=0.6).encode(x="x:Q", y=y, y2="high_y:Q")
    dots = chart.mark_point(filled=True, size=110, opacity=1).encode(x="x:Q", y="y:Q", shape=shape)
    return layered(zero_line("x"), zero_line("y"), across, upwards, dots, height=HEIGHT)


def ranks(found: Sequence[Prediction]) -> alt.LayerChart:
    """The rank correlation of every offline metric with the lift, with its interval, the best on top."""
    rows = [
        {
            "name": label(one.metric),
            "rank": one.rank,
            "low": one.rank_low,
            "high": one.rank_high,
            "text": f"{fixed(one.rank, 2)} ({fixed(one.rank_low, 2)} to {fixed(one.rank_high, 2)})",
        }
        for one in found
        if math.isfinite(one.rank)
    ]
    y = alt.Y(
        "name:N",
        sort=[label(one.metric) for one in found],
        title=None,
        axis=alt.Axis(ticks=False, labelFlush=False, labelLimit=200),
    )
    x = alt.X("low:Q", title="Rank correlation with the lift", scale=alt.Scale(domain=[-1, 1]))
    tooltip = [alt.Tooltip("name:N", title="Offline metric"), alt.Tooltip("text:N", title="Rank correlation")]
    chart = alt.Chart(values(rows)).encode(y=y, tooltip=tooltip)
    spans = chart.mark_rule(strokeWidth=3, color=GREY).encode(x=x, x2="high:Q")
    dots = chart.mark_point(filled=True, size=100, opacity=1, color=BLUE).encode(x="rank:Q")
    return layered(zero_line("x"), spans, dots, height=alt.Step(ROW))


def _row(point: Point, metric: str) -> dict[str, object]:
    offline = point.offline[metric]
    low, high = (end if math.isfinite(end) else offline.value for end in (offline.low, offline.high))
    same = "right sign" if (offline.value > 0) == (point.lift > 0) else "wrong sign"
    interval = "" if math.isnan(offline.low) else f" ({fixed(low, 4, signed=True)} to {fixed(high, 4, signed=True)})"
    return {
        "title": point.title,
        "arms": f"{point.treatment} against {point.control}",
        "x": offline.value,
        "low_x": low,
        "high_x": high,
        "y": point.lift,
        "low_y": point.low if math.isfinite(point.low) else point.lift,
        "high_y": point.high if math.isfinite(point.high) else point.lift,
        "x_text": fixed(offline.value, 4, signed=True) + interval,
        "y_text": f"{lift(point.lift)} ({lift(point.low)} to {lift(point.high)})" if math.isfinite(point.low) else "",
        "sign": same if point.sure else "lift not sure",
    }

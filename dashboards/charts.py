"""The charts of a readout: comparisons in, Altair out. Pure; they stand on a light and on a dark page."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from abtest.types import Comparison, Metric
from dashboards.numbers import label, lift_interval, lift_of
from dashboards.palette import (
    GREY,
    layered,
    reading_colour,
    reading_shape,
    series_colour,
    signed_percent,
    values,
    zero_line,
)
from dashboards.reading import harmful_bound, reading

ROW = 46
"""Pixels for one interval and the number above it."""
HEIGHT = 300
UP = "datum.point >= 0"


def forest(comparisons: Sequence[Comparison]) -> alt.LayerChart:
    """Relative change of each metric with its interval, on one axis with a line at zero and ticks at the margins.

    Thin: the interval that holds over all questions together. What has no interval is left out: the table says why.
    """
    several = len({comparison.variant for comparison in comparisons}) > 1
    rows = [_forest_row(comparison, several) for comparison in comparisons if has_interval([comparison])]
    y = alt.Y(
        "row:N",
        sort=[row["row"] for row in rows],
        title=None,
        axis=alt.Axis(labelLimit=260, labelFontSize=13, ticks=False),
    )
    x = alt.X(
        "low:Q",
        title="Relative change against control",
        axis=signed_percent(),
        scale=alt.Scale(padding=24, nice=False),
    )
    tooltip = [
        alt.Tooltip("row:N", title="Metric"),
        alt.Tooltip("text:N", title="Change"),
        alt.Tooltip("interval:N", title="Interval"),
        alt.Tooltip("reading:N", title="Reading"),
    ]
    chart = alt.Chart(values(rows)).encode(y=y, color=reading_colour(), tooltip=tooltip)
    spans = chart.mark_rule(strokeWidth=3).encode(x=x, x2="high:Q")
    corrected = chart.mark_rule(strokeWidth=1.2).encode(x="wide_low:Q", x2="wide_high:Q")
    points = chart.mark_point(filled=True, size=120, opacity=1).encode(x="point:Q", shape=reading_shape())
    # beside the point and away from zero: across the zero line a + reads as a −
    side, right = alt.expr(f"{UP} ? 'left' : 'right'"), alt.expr(f"{UP} ? 5 : -5")
    texts = chart.mark_text(align=side, dx=right, dy=-13, fontSize=12).encode(x="point:Q", text="text:N")
    return layered(zero_line("x"), _margins(rows, y), corrected, spans, points, texts, height=alt.Step(ROW))


def has_interval(comparisons: Sequence[Comparison]) -> bool:
    """Whether there is anything for `forest` to draw."""
    return any(all(map(math.isfinite, comparison.effect.relative_ci)) for comparison in comparisons)


def cumulative(metric: Metric, daily: Sequence[Comparison]) -> alt.LayerChart:
    """Relative change of one metric by the end of each day, with its always-valid band; one line per variant."""
    rows = [_day_row(c) for c in daily if c.metric.name == metric.name and math.isfinite(c.effect.relative)]
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    scale = alt.Scale(domain=visible_range(rows), nice=True)
    x = alt.X(
        "day:T",
        title=None,
        scale=alt.Scale(type="utc", padding=16),
        axis=alt.Axis(format="%-d %b", tickMinStep=86_400_000),
    )
    y = alt.Y("change:Q", title="Relative change so far", axis=signed_percent(), scale=scale)
    tooltip = [
        alt.Tooltip("until:N", title="Data up to the end of"),
        alt.Tooltip("variant:N", title="Variant"),
        alt.Tooltip("text:N", title="Change so far"),
        alt.Tooltip("interval:N", title="Always-valid interval"),
    ]
    colour = series_colour(variants, legend=len(variants) > 1)
    chart = alt.Chart(values(rows)).encode(x=x, color=colour, tooltip=tooltip)
    band = chart.mark_area(opacity=0.2, clip=True).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q")
    line = chart.mark_line(strokeWidth=2.5, clip=True, point={"filled": True, "size": 45}).encode(y=y)
    return layered(band, zero_line("y"), _margin_line(metric), line, height=HEIGHT)


def visible_range(rows: Sequence[dict[str, Any]]) -> list[float]:
    """The part of the axis worth seeing: zero, the line, and the last band with half its width above and below.

    The first days' huge bands are cut there; where the data reach less far, the axis does, too.
    """
    changes = [0.0, *(row["change"] for row in rows)]
    ends = [row[side] for row in rows for side in ("low", "high") if row[side] is not None]
    last = max((row["day"] for row in rows), default="")
    final = [row[side] for row in rows for side in ("low", "high") if row["day"] == last and row[side] is not None]
    slack = (max(final) - min(final)) / 2 if final else math.inf
    low = max(min([*changes, *(end - slack for end in final)]), min([*changes, *ends]))
    high = min(max([*changes, *(end + slack for end in final)]), max([*changes, *ends]))
    return [low, high] if high > low else [-0.01, 0.01]


def corrected_interval(comparison: Comparison) -> tuple[float, float]:
    """The relative interval after correction; the plain one where there was none, or where it has no end."""
    plain, wide = comparison.effect.relative_ci, comparison.adjusted_ci
    return wide if wide is not None and all(map(math.isfinite, wide)) else plain


def row_name(comparison: Comparison, several: bool) -> str:
    """What stands beside an interval: the metric, the variant where there are several, the segment where it is one."""
    parts = [label(comparison.metric.name)] if comparison.segment is None else [comparison.segment.value or "(none)"]
    return " · ".join([*parts, comparison.variant] if several else parts)


def _forest_row(comparison: Comparison, several: bool) -> dict[str, Any]:
    effect, wide = comparison.effect, corrected_interval(comparison)
    return {
        "row": row_name(comparison, several),
        "wide_low": wide[0],
        "wide_high": wide[1],
        "point": effect.relative,
        "low": effect.relative_ci[0],
        "high": effect.relative_ci[1],
        "text": lift_of(effect),
        "interval": lift_interval(effect),
        "reading": reading(comparison),
        "margin": harmful_bound(comparison.metric),
    }


def _day_row(comparison: Comparison) -> dict[str, Any]:
    assert comparison.day is not None, "Readout.daily holds comparisons up to the end of a day"
    effect, day = comparison.effect, comparison.day
    low, high = (bound if math.isfinite(bound) else None for bound in effect.relative_ci)
    return {
        "day": day.isoformat(),
        "until": f"{day.day} {day:%b %Y}",
        "variant": comparison.variant,
        "change": effect.relative,
        "low": low,
        "high": high,
        "text": lift_of(effect),
        "interval": lift_interval(effect),
    }


def _margins(rows: Sequence[dict[str, Any]], y: alt.Y) -> alt.Chart:
    limits = [{"row": row["row"], "margin": row["margin"]} for row in rows if row["margin"] is not None]
    tooltip = alt.Tooltip("margin:Q", title="Guardrail margin", format="+.2~%")
    ticks = alt.Chart(values(limits)).mark_tick(thickness=3, size=26, color=GREY)
    placed: alt.Chart = ticks.encode(x="margin:Q", y=y, tooltip=tooltip)
    return placed


def _margin_line(metric: Metric) -> alt.Chart:
    bound = harmful_bound(metric)
    limits = [] if bound is None else [{"margin": bound}]
    rule = alt.Chart(values(limits)).mark_rule(strokeDash=[6, 4], color=GREY, clip=True)
    placed: alt.Chart = rule.encode(y="margin:Q")
    return placed

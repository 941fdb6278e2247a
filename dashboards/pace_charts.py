"""The charts of traffic: counts in, Altair out. Pure; they stand on a light and on a dark page."""

from collections.abc import Sequence
from typing import Literal

import altair as alt

from abtest.analysis.traffic import DayCount
from abtest.events.pace import Pace
from dashboards.numbers import count
from dashboards.palette import BLUE, ORANGE, layered, series_colour, series_shape, values

HEIGHT = 220
TITLES = {"units": "New units a day", "exposures": "Slates shown a day"}


def by_day(counts: Sequence[DayCount], what: Literal["units", "exposures"]) -> alt.LayerChart:
    """New units, or slates, on each day; a line per variant."""
    rows = [
        {
            "day": row.day.isoformat(),
            "on": f"{row.day.day} {row.day:%b %Y}",
            "variant": row.variant,
            "n": getattr(row, what),
            "text": count(getattr(row, what)),
        }
        for row in counts
    ]
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    axis = alt.Axis(format="%-d %b", tickMinStep=86_400_000)
    x = alt.X("day:T", title=None, scale=alt.Scale(type="utc", padding=16), axis=axis)
    y = alt.Y("n:Q", title=TITLES[what], scale=alt.Scale(domainMin=0), axis=alt.Axis(tickCount=4, format="~s"))
    tooltip = [
        alt.Tooltip("on:N", title="Day"),
        alt.Tooltip("variant:N", title="Variant"),
        alt.Tooltip("text:N", title=TITLES[what]),
    ]
    chart = alt.Chart(values(rows)).encode(x=x, y=y, color=series_colour(variants, legend=True), tooltip=tooltip)
    points = chart.mark_point(filled=True, size=55, opacity=1).encode(shape=series_shape(variants))
    return layered(chart.mark_line(strokeWidth=2), points, height=HEIGHT)


def by_time(pace: Pace) -> alt.LayerChart:
    """Slates shown in each stretch of time, and those of them that a fallback filled."""
    minutes = pace.step.total_seconds() / 60
    stretch = "minute" if minutes == 1 else "hour" if minutes == 60 else f"{minutes:g} minutes"
    rows = [
        {
            "start": step.start.isoformat(),
            "at": f"{step.start:%-d %b %Y, %H:%M} UTC",
            "n": step.exposures,
            "fallbacks": step.fallbacks,
            "text": count(step.exposures),
            "of": count(step.fallbacks),
        }
        for step in pace.steps
    ]
    axis = alt.Axis(format="%-d %b %H:%M", tickCount=8, labelOverlap=True)
    x = alt.X("start:T", title=None, scale=alt.Scale(type="utc"), axis=axis)
    y = alt.Y(
        "n:Q", title=f"Slates per {stretch}", scale=alt.Scale(domainMin=0), axis=alt.Axis(tickCount=4, format="~s")
    )
    tooltip = [
        alt.Tooltip("at:N", title="From"),
        alt.Tooltip("text:N", title="Slates"),
        alt.Tooltip("of:N", title="From a fallback"),
    ]
    chart = alt.Chart(values(rows)).encode(x=x, tooltip=tooltip)
    area = chart.mark_area(interpolate="step-after", color=BLUE, opacity=0.3, line={"color": BLUE}).encode(y=y)
    fallen = chart.mark_line(interpolate="step-after", color=ORANGE, strokeDash=[4, 2]).encode(y="fallbacks:Q")
    return layered(area, fallen, height=HEIGHT)

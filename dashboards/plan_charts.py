"""The charts of a plan: curves in, Altair out. Pure; they stand on a light and on a dark page."""

import math
from collections.abc import Sequence

import altair as alt

from dashboards.numbers import count, lift, percent
from dashboards.palette import BLUE, GREY, layered, signed_percent, values
from experiments.plans import Reach

HEIGHT = 300


def power_curve(curve: Sequence[tuple[float, float]], wanted: float, found: float) -> alt.LayerChart:
    """The chance to find a lift, against the lift; dashed: the wanted power, and the lift that is found with it."""
    rows = [
        {"lift": size, "power": chance, "text": percent(chance), "lift_text": lift(size, 2)}
        for size, chance in curve
        if math.isfinite(chance)
    ]
    x = alt.X("lift:Q", title="True lift", axis=signed_percent(), scale=alt.Scale(nice=False))
    y = alt.Y("power:Q", title="Chance to find it", axis=alt.Axis(format="~%"), scale=alt.Scale(domain=[0, 1]))
    tooltip = [alt.Tooltip("lift_text:N", title="True lift"), alt.Tooltip("text:N", title="Chance to find it")]
    line = alt.Chart(values(rows)).mark_line(strokeWidth=2.5, color=BLUE).encode(x=x, y=y, tooltip=tooltip)
    target = alt.Chart(values([{"power": wanted}])).mark_rule(strokeDash=[6, 4], color=GREY).encode(y="power:Q")
    inside = [{"lift": found}] if curve and 0 < found <= curve[-1][0] else []
    mark = alt.Chart(values(inside)).mark_rule(strokeDash=[6, 4], color=GREY).encode(x="lift:Q")
    return layered(target, mark, line, height=HEIGHT)


def reach_curve(reaches: Sequence[Reach], days: int) -> alt.LayerChart:
    """The smallest lift that can be found, against the days of traffic; dashed: the days that are planned."""
    rows = [
        {"days": one.days, "lift": one.lift, "text": lift(one.lift, 2), "units": count(round(one.units))}
        for one in reaches
        if math.isfinite(one.lift)
    ]
    x = alt.X("days:Q", title="Days of traffic", axis=alt.Axis(format="d"), scale=alt.Scale(nice=False, zero=False))
    y = alt.Y("lift:Q", title="Smallest lift to be found", axis=signed_percent(), scale=alt.Scale(zero=True))
    tooltip = [
        alt.Tooltip("days:Q", title="Days"),
        alt.Tooltip("units:N", title="Units"),
        alt.Tooltip("text:N", title="Smallest lift"),
    ]
    chart = alt.Chart(values(rows)).encode(x=x, tooltip=tooltip)
    line = chart.mark_line(strokeWidth=2.5, color=BLUE, point={"filled": True, "size": 40, "color": BLUE}).encode(y=y)
    planned = alt.Chart(values([{"days": days}])).mark_rule(strokeDash=[6, 4], color=GREY).encode(x="days:Q")
    return layered(planned, line, height=HEIGHT)

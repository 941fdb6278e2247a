"""The charts of what users saw: profiles in, Altair out. Pure; they stand on a light and on a dark page."""

from collections.abc import Sequence
from typing import Literal

import altair as alt
import numpy as np

from dashboards.numbers import percent
from dashboards.palette import GREY, layered, series_colour, series_shape, values
from experiments.slates import Overlap, Profile

BINS = 24
HEIGHT = 260
ROW = 28
"""Pixels for one category."""


def shares(profiles: Sequence[Profile], kind: Literal["categories", "tiers"], title: str) -> alt.LayerChart:
    """The share of places that each category, or each tier of popularity, got in every variant: a dot per variant."""
    rows = [
        {"name": name, "variant": p.variant, "share": share, "text": percent(share)}
        for p in profiles
        for name, share in getattr(p, kind).items()
        if share == share
    ]
    order = list(dict.fromkeys(row["name"] for row in rows))
    variants = [profile.variant for profile in profiles]
    y = alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=200, labelFlush=False, ticks=False))
    x = alt.X("share:Q", title=title, axis=alt.Axis(format="~%", tickCount=5), scale=alt.Scale(domainMin=0))
    tooltip = [
        alt.Tooltip("name:N", title="What"),
        alt.Tooltip("variant:N", title="Variant"),
        alt.Tooltip("text:N", title="Share of places"),
    ]
    chart = alt.Chart(values(rows)).encode(y=y)
    gap = chart.mark_rule(strokeWidth=2, color=GREY, opacity=0.6).encode(x=alt.X("min(share):Q"), x2="max(share):Q")
    points = chart.mark_point(filled=True, size=110, opacity=1).encode(
        x=x, color=series_colour(variants, legend=True), shape=series_shape(variants), tooltip=tooltip
    )
    return layered(gap, points, height=alt.Step(ROW))


def spread(profiles: Sequence[Profile], kind: Literal["novelty", "diversity"], title: str) -> alt.LayerChart:
    """How one property of the slates is distributed in every variant: the share of its slates in each stretch."""
    columns = {profile.variant: np.asarray(getattr(profile, kind)) for profile in profiles}
    edges = _edges(list(columns.values()))
    rows = [
        {"variant": name, "from": low, "to": high, "share": part, "text": percent(part)}
        for name, column in columns.items()
        if len(column)
        for low, high, part in _steps(column, edges)
    ]
    variants = list(columns)
    x = alt.X("from:Q", title=title, scale=alt.Scale(zero=False, nice=False))
    y = alt.Y("share:Q", title="Share of slates", axis=alt.Axis(format="~%", tickCount=4))
    tooltip = [
        alt.Tooltip("variant:N", title="Variant"),
        alt.Tooltip("from:Q", title="From", format=".3~f"),
        alt.Tooltip("to:Q", title="to", format=".3~f"),
        alt.Tooltip("text:N", title="Share of slates"),
    ]
    chart = alt.Chart(values(rows)).encode(x=x, color=series_colour(variants, legend=True), tooltip=tooltip)
    area = chart.mark_area(interpolate="step-after", opacity=0.2).encode(y=alt.Y("share:Q", stack=None))
    line = chart.mark_line(interpolate="step-after", strokeWidth=2).encode(y=y, strokeDash=_dash(variants))
    return layered(area, line, height=HEIGHT)


def overlap(found: Sequence[Overlap]) -> alt.LayerChart:
    """How many users get how much of the same list; a line per compared variant."""
    rows = []
    for one in found:
        shared = np.asarray(one.shared)
        for places in range(one.k + 1):
            part = float(np.isclose(shared, places / one.k).mean()) if len(shared) else 0.0
            rows.append({"variant": one.other, "places": places, "share": part, "text": percent(part)})
    variants = [one.other for one in found]
    x = alt.X("places:O", title="Items that both lists have", axis=alt.Axis(labelAngle=0))
    y = alt.Y("share:Q", title="Share of users", axis=alt.Axis(format="~%", tickCount=4))
    tooltip = [
        alt.Tooltip("variant:N", title="Variant"),
        alt.Tooltip("places:O", title="Items in common"),
        alt.Tooltip("text:N", title="Share of users"),
    ]
    chart = alt.Chart(values(rows)).encode(x=x, tooltip=tooltip)
    colour = series_colour(variants, legend=len(variants) > 1)
    return layered(chart.mark_bar().encode(y=y, color=colour, xOffset="variant:N"), height=HEIGHT)


def _edges(columns: Sequence[np.ndarray]) -> list[float]:
    everything = np.concatenate([column for column in columns if len(column)] or [np.zeros(0)])
    if not len(everything):
        return []
    low, high = float(everything.min()), float(everything.max())
    edges: list[float] = np.linspace(low, high if high > low else low + 1e-9, BINS + 1).tolist()
    return edges


def _steps(column: np.ndarray, edges: Sequence[float]) -> list[tuple[float, float, float]]:
    """(from, to, share) of each stretch; the last one once more at its end, or its step would have no width."""
    parts: list[float] = (np.histogram(column, bins=np.asarray(edges))[0] / len(column)).tolist()
    steps = list(zip(edges, edges[1:], parts, strict=False))
    return [*steps, (edges[-1], edges[-1], parts[-1])]


def _dash(variants: Sequence[str]) -> alt.StrokeDash:
    patterns = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3]]
    ranged = [patterns[i % len(patterns)] for i in range(len(variants))]
    return alt.StrokeDash("variant:N", scale=alt.Scale(domain=list(variants), range=ranged), legend=None)

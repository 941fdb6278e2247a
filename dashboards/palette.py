"""What the charts share: colours that stand on a light and on a dark page, shapes, axes."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import altair as alt

from dashboards.reading import READINGS, Reading

# Okabe and Ito's hues at a middle lightness: apart for the colour-blind, and 3:1 on white as on Streamlit's black
BLUE, ORANGE, GREEN, PURPLE, RED, GREY = "#3B82C4", "#CC6E00", "#109070", "#B065A0", "#D55E40", "#848484"
COLOURS: dict[Reading, str] = {"better": BLUE, "worse": ORANGE, "cannot tell": GREY}
SHAPES: dict[Reading, str] = {"better": "triangle-up", "worse": "triangle-down", "cannot tell": "circle"}
SERIES = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)
SERIES_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")

LEGEND_WIDTH = 560
"""Pixels of half a page: names of 7 pixels a letter are put side by side as long as they fit."""

SIGNED_PERCENT = "datum.value == 0 ? '0%' : format(datum.value, '+.3~%')"


def values(rows: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    """Rows as chart data."""
    return alt.InlineData(values=[dict(row) for row in rows])


def layered(*charts: alt.Chart, height: int | alt.Step) -> alt.LayerChart:
    """Charts over each other, the first at the bottom, as wide as the page."""
    return alt.LayerChart(layer=list(charts), height=height)


def reading_colour() -> alt.Color:
    """The colour of a reading, with its legend above the chart."""
    scale = alt.Scale(domain=list(READINGS), range=[COLOURS[name] for name in READINGS])
    return alt.Color("reading:N", scale=scale, legend=_legend("top", READINGS))


def reading_shape() -> alt.Shape:
    """The shape of a reading: the same message without colour."""
    scale = alt.Scale(domain=list(READINGS), range=[SHAPES[name] for name in READINGS])
    return alt.Shape("reading:N", scale=scale, legend=_legend("top", READINGS))


def series_colour(variants: Sequence[str], *, legend: bool) -> alt.Color:
    """One colour for each variant, in the order given; the seventh starts again, told apart by its shape."""
    scale = alt.Scale(domain=list(variants), range=_repeat(SERIES, len(variants)))
    return alt.Color("variant:N", scale=scale, legend=_legend("bottom", variants) if legend else None)


def series_shape(variants: Sequence[str]) -> alt.Shape:
    """One shape for each variant, in the order given."""
    # one step further each time round, so that no two of 30 variants share colour and shape
    shapes = [SERIES_SHAPES[(i + i // len(SERIES)) % len(SERIES_SHAPES)] for i in range(len(variants))]
    return alt.Shape(
        "variant:N", scale=alt.Scale(domain=list(variants), range=shapes), legend=_legend("bottom", variants)
    )


def signed_percent() -> alt.Axis:
    """An axis of relative changes: −2%, 0%, +2%."""
    return alt.Axis(labelExpr=SIGNED_PERCENT, tickCount=7)


def zero_line(channel: Literal["x", "y"]) -> alt.Chart:
    """The line of no effect, across the chart at zero of `x` or `y`."""
    rule = alt.Chart(values([{"zero": 0}])).mark_rule(color=GREY, strokeWidth=1.5)
    placed: alt.Chart = rule.encode(**{channel: "zero:Q"})
    return placed


def _legend(side: Literal["top", "bottom"], names: Sequence[str]) -> alt.Legend:
    # opaque symbols with a plain thin edge: a legend else takes faintness, width and dashes of the first layers
    columns = max(1, min(len(names), LEGEND_WIDTH // (7 * max(map(len, names), default=1) + 40)))
    return alt.Legend(
        title=None,
        orient=side,
        columns=columns,
        labelLimit=220,
        symbolOpacity=1,
        symbolStrokeWidth=1,
        symbolDash=[1, 0],
    )


def _repeat(cycle: Sequence[str], n: int) -> list[str]:
    return [cycle[i % len(cycle)] for i in range(n)]

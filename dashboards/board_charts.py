"""The charts of a leaderboard: a Leaderboard in, Altair out. Pure; they stand on a light and on a dark page."""

import math
from typing import Any

import altair as alt

from dashboards.numbers import ABSENT, cut_off, fixed, label
from dashboards.palette import GREY, layered, series_colour, series_shape, values
from experiments.board import Cell, Leaderboard, Standing

HEIGHT = 380


def tradeoff(board: Leaderboard, against: str) -> alt.LayerChart:
    """The leading metric (upwards) against another one (to the right), each with its interval; a point per variant."""
    rows = [_tradeoff_row(row, board.metric, against) for row in board.standings if _has(row, board.metric, against)]
    variants = [row.variant for row in board.standings]
    x = alt.X("x_low:Q", title=label(against), scale=alt.Scale(zero=False, padding=20), axis=alt.Axis(tickCount=5))
    y = alt.Y("y_low:Q", title=label(board.metric), scale=alt.Scale(zero=False, padding=20))
    tooltip = [
        alt.Tooltip("variant:N", title="Variant"),
        alt.Tooltip("y_text:N", title=label(board.metric)),
        alt.Tooltip("x_text:N", title=label(against)),
    ]
    chart = alt.Chart(values(rows)).encode(color=series_colour(variants, legend=True), tooltip=tooltip)
    across = chart.mark_rule(strokeWidth=2, opacity=0.6).encode(x=x, x2="x_high:Q", y="y:Q")
    upwards = chart.mark_rule(strokeWidth=2, opacity=0.6).encode(x="x:Q", y=y, y2="y_high:Q")
    points = chart.mark_point(filled=True, size=120, opacity=1).encode(x="x:Q", y="y:Q", shape=series_shape(variants))
    unbeaten = [row for row in rows if row["variant"] in front(board, against)]
    line = alt.Chart(values(unbeaten)).mark_line(strokeDash=[5, 4], strokeWidth=1.5, color=GREY)
    edge = line.encode(x="x:Q", y="y:Q", order="x:Q")
    return layered(edge, across, upwards, points, height=HEIGHT)


def front(board: Leaderboard, against: str) -> list[str]:
    """The variants that no other beats on both the leading metric and `against`: the Pareto front."""
    spots = {
        row.variant: (row.cells[board.metric].mean, row.cells[against].mean)
        for row in board.standings
        if _has(row, board.metric, against)
    }
    return [
        name
        for name, (up, across) in spots.items()
        if not any(u >= up and a >= across and (u, a) != (up, across) for u, a in spots.values())
    ]


def metric_by_k(board: Leaderboard, base: str) -> alt.LayerChart:
    """One metric against the length of the list, with intervals; a line per variant."""
    rows = [
        {"variant": row.variant, "k": k, "mean": cell.mean, **_bounds(cell), "text": interval(cell)}
        for row in board.standings
        for k, cell in by_k(row, base).items()
    ]
    variants = [row.variant for row in board.standings]
    ticks = alt.Axis(values=sorted({k for row in board.standings for k in by_k(row, base)}), format="d")
    x = alt.X("k:Q", title="Items in the list (k)", scale=alt.Scale(zero=False, nice=False, padding=16), axis=ticks)
    y = alt.Y("mean:Q", title=label(base), scale=alt.Scale(zero=False))
    tooltip = [
        alt.Tooltip("variant:N", title="Variant"),
        alt.Tooltip("k:Q", title="k"),
        alt.Tooltip("text:N", title=label(base)),
    ]
    chart = alt.Chart(values(rows)).encode(x=x, color=series_colour(variants, legend=True), tooltip=tooltip)
    spans = chart.mark_rule(strokeWidth=2, opacity=0.6).encode(y="low:Q", y2="high:Q")
    lines = chart.mark_line(strokeWidth=2).encode(y=y)
    points = chart.mark_point(filled=True, size=80, opacity=1).encode(y=y, shape=series_shape(variants))
    return layered(spans, lines, points, height=HEIGHT)


def by_k(row: Standing, base: str) -> dict[int, Cell]:
    """The values of one metric at each cut-off, those that could be computed."""
    found = {
        k: cell for name, cell in row.cells.items() for stem, k in [cut_off(name)] if stem == base and k is not None
    }
    return {k: found[k] for k in sorted(found) if math.isfinite(found[k].mean)}


def interval(cell: Cell) -> str:
    """A mean with its interval: `0.1234 (0.1201 to 0.1267)`; a metric without interval stands alone."""
    decimals = 4 if abs(cell.mean) < 1 else 3 if abs(cell.mean) < 10 else 2
    mean, low, high = (fixed(value, decimals) for value in (cell.mean, cell.low, cell.high))
    return mean if ABSENT in (low, high) else f"{mean} ({low} to {high})"


def _has(row: Standing, *names: str) -> bool:
    return all(name in row.cells and math.isfinite(row.cells[name].mean) for name in names)


def _tradeoff_row(row: Standing, leading: str, against: str) -> dict[str, Any]:
    up, across = row.cells[leading], row.cells[against]
    return {
        "variant": row.variant,
        "x": across.mean,
        "y": up.mean,
        **{f"x_{side}": bound for side, bound in _bounds(across).items()},
        **{f"y_{side}": bound for side, bound in _bounds(up).items()},
        "x_text": interval(across),
        "y_text": interval(up),
    }


def _bounds(cell: Cell) -> dict[str, float]:
    """The interval's ends; the mean itself where there is no interval."""
    return {
        "low": cell.low if math.isfinite(cell.low) else cell.mean,
        "high": cell.high if math.isfinite(cell.high) else cell.mean,
    }

"""The forest chart as a picture, for slides and for reports that stand alone: comparisons in, PNG out. Pure."""

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

from abtest.types import Comparison
from dashboards.charts import corrected_interval, has_interval, row_name
from dashboards.numbers import lift_of
from dashboards.palette import COLOURS, GREY
from dashboards.reading import READINGS, Reading, harmful_bound, reading

WIDTH, ROW, FRAME = 9.0, 0.55, 1.5
"""Inches: of the picture, of one interval, of axis and legend together."""
MARKERS: dict[Reading, str] = {"better": "^", "worse": "v", "cannot tell": "o"}


def forest_png(comparisons: Sequence[Comparison], title: str = "") -> bytes:
    """What `charts.forest` draws, as a PNG on white; nothing to draw is an empty picture's bytes, never an error."""
    drawn = [comparison for comparison in comparisons if has_interval([comparison])]
    several = len({comparison.variant for comparison in drawn}) > 1
    figure = Figure(figsize=(WIDTH, FRAME + ROW * max(len(drawn), 1)), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for place, comparison in enumerate(drawn):
        kind, (low, high) = reading(comparison), comparison.effect.relative_ci
        wide, point, margin = (
            corrected_interval(comparison),
            comparison.effect.relative,
            harmful_bound(comparison.metric),
        )
        axes.plot([100 * end for end in wide], [place, place], color=COLOURS[kind], linewidth=1)
        axes.plot([100 * low, 100 * high], [place, place], color=COLOURS[kind], linewidth=3, solid_capstyle="butt")
        axes.plot([100 * point], [place], MARKERS[kind], color=COLOURS[kind], markersize=9)
        # beside the point and away from zero: across the zero line a + reads as a −
        right, side = (4, "left") if point >= 0 else (-4, "right")
        text, at = lift_of(comparison.effect), (100 * point, place)
        axes.annotate(text, at, (right, 7), textcoords="offset points", ha=side)
        if margin is not None:
            axes.plot([100 * margin] * 2, [place - 0.25, place + 0.25], color=GREY, linewidth=3)
    axes.axvline(0.0, color=GREY, linewidth=1.2)
    axes.set_yticks(range(len(drawn)), [_plain(row_name(comparison, several)) for comparison in drawn])
    axes.set_ylim(max(len(drawn), 1) - 0.4, -0.7)
    axes.set_xlabel("Relative change against control, in %")
    axes.set_title(_plain(title), loc="left", fontsize=11)
    for name in READINGS:
        axes.plot([], [], MARKERS[name], color=COLOURS[name], label=name)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=160, metadata={"Software": None})
    return content.getvalue()


def _plain(text: str) -> str:
    r"""The text as it stands: matplotlib would read a formula between two dollar signs."""
    return text.replace("$", r"\$")

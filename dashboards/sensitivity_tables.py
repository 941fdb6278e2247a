"""The same effects computed in other ways, side by side: whether the answer hangs on how it was computed. Pure."""

from collections.abc import Sequence

import pandas as pd

from abtest.types import Comparison
from dashboards.numbers import ABSENT, label, lift_interval, lift_of
from dashboards.reading import SIGNS, is_computed, reading
from experiments.sensitivity import CAP, Sensitivity

PLANNED, WITHOUT_CUPED = "As planned", "Without CUPED"
TITLES = {
    "capped": f"Capped at the {100 * CAP:g}% quantile",
    "uncapped": "Without the cap",
    "without fallback slates": "Without fallback slates",
}


def table(planned: Sequence[Comparison], found: Sensitivity | None) -> pd.DataFrame:
    """A row per metric and treatment, a column per way of computing; empty where there is but one way.

    Intervals stand only where the planned sample is in: those of a part of it must not be read.
    """
    columns = _columns(planned, found)
    if not columns:
        return pd.DataFrame()
    intervals = found is None or found.complete
    several = len({one.variant for one in planned}) > 1
    rows = []
    for one in planned:
        row = {"Metric": label(one.metric.name)} | ({"Variant": one.variant} if several else {})
        row[PLANNED] = cell(one, intervals=True)
        for title, others in columns.items():
            other = others.get((one.metric.name, one.variant))
            row[title] = ABSENT if other is None else cell(other, intervals=intervals)
        if any(row[title] != ABSENT for title in columns):
            rows.append(row)
    return pd.DataFrame(rows)


def conclusion(planned: Sequence[Comparison], found: Sensitivity | None) -> str:
    """Whether any other way of computing reads otherwise, in a sentence."""
    if found is not None and not found.complete:
        return "Only the sizes can be compared yet: these intervals may be read when the planned sample is in."
    told = [
        f"{label(one.metric.name)} of {one.variant} is “{reading(one)}” as planned and “{reading(other)}” "
        f"{title[:1].lower()}{title[1:]}"
        for title, others in _columns(planned, found).items()
        for one in planned
        for other in [others.get((one.metric.name, one.variant))]
        if other is not None and is_computed(other) and is_computed(one) and reading(other) != reading(one)
    ]
    if not told:
        return "Every way of computing reads the same."
    return f"It hangs on how it is computed: {'; '.join(told)}."


def cell(comparison: Comparison, *, intervals: bool) -> str:
    """Sign, lift and interval; why there is none."""
    if not is_computed(comparison):
        return f"not computed: {comparison.effect.reason or 'no reason was given'}"
    if not intervals:
        return lift_of(comparison.effect)
    return f"{SIGNS[reading(comparison)]} {lift_of(comparison.effect)} ({lift_interval(comparison.effect)})"


def _columns(planned: Sequence[Comparison], found: Sensitivity | None) -> dict[str, dict[tuple[str, str], Comparison]]:
    """Title of a way of computing -> (metric, variant) -> the effect, as far as the way touches it."""
    plain = {
        (one.metric.name, one.variant): Comparison(metric=one.metric, variant=one.variant, effect=one.unadjusted)
        for one in planned
        if one.unadjusted is not None
    }
    columns = {WITHOUT_CUPED: plain} if plain else {}
    for view in found.views if found else ():
        columns[TITLES[view.name]] = {(one.metric.name, one.variant): one for one in view.effects}
    return columns

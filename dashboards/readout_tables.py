"""The tables of a readout: arms, effects, what the metrics mean. Values in, frames and sentences out. Pure."""

from collections.abc import Sequence

import pandas as pd

from abtest.types import Comparison, DecisionRule, Metric, Readout, Variant
from dashboards.numbers import (
    ABSENT,
    amount,
    chance,
    count,
    difference,
    difference_interval,
    label,
    lift,
    lift_interval,
    lift_of,
    moment,
    p_value,
    percent,
    risk,
)
from dashboards.readable import readable
from dashboards.reading import is_computed, reading_words
from experiments.store import Definition

CORRECTED, CHANCE, RISK, SAVED = "p, corrected", "Chance to win", "Risk of shipping", "Saved by CUPED"
OPTIONAL = (CORRECTED, CHANCE, RISK, SAVED)
"""Columns that are left out when no row has a value."""


def arms(definition: Definition, readout: Readout) -> pd.DataFrame:
    """What each variant got, control first."""
    total = sum(arm.units for arm in readout.arms)
    variants = {variant.name: variant for variant in definition.experiment.variants}
    marked = {readout.control: readout.control if readout.control == "control" else f"{readout.control} (control)"}
    rows = [
        {
            "Variant": marked.get(arm.variant, arm.variant),
            "Model version": version(definition.model, variants.get(arm.variant)),
            "Planned share": percent(arm.share),
            "Actual share": percent(arm.units / total) if total else ABSENT,
            "Units": count(arm.units),
            "Exposures": count(arm.exposures),
        }
        for arm in readout.arms
    ]
    return pd.DataFrame(rows)


def version(model: str, variant: Variant | None) -> str:
    """The registered model version a variant serves, as its payload names it."""
    number = variant.payload.get("version") if variant else None
    return ABSENT if number is None else f"{model} v{number}"


def period(readout: Readout) -> str:
    """Which data the readout rests on, and when it was made."""
    data = f"Data from {moment(readout.first)} to {moment(readout.last)}. " if readout.first else ""
    several = readout.multi_variant_units
    left_out = f" Left out: {count(several)} units seen in more than one variant." if several else ""
    return f"{data}Analysed {moment(readout.as_of)}.{left_out}"


def effects(readout: Readout, comparisons: Sequence[Comparison] | None = None) -> pd.DataFrame:
    """One row per metric and treatment: both values, the change, how sure. comparisons: default, the readable ones."""
    n = {arm.variant: arm.units for arm in readout.arms}
    shown = readable(readout) if comparisons is None else comparisons
    several = len({comparison.variant for comparison in shown}) > 1
    frame = pd.DataFrame([_effect_row(comparison, readout.control, n, several) for comparison in shown])
    idle = [name for name in OPTIONAL if name in frame and (frame[name] == ABSENT).all()]
    return frame.drop(columns=idle)


def segments(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row per segment of an attribute: how many units, the change, how far to believe it."""
    several = len({comparison.variant for comparison in comparisons}) > 1
    rows = []
    for comparison in comparisons:
        assert comparison.segment is not None, "only comparisons by segment come here"
        row = {"Segment": comparison.segment.value or "(none)"}
        if several:
            row["Variant"] = comparison.variant
        computed, effect = is_computed(comparison), comparison.effect
        rows.append(
            row
            | {
                "Control": amount(comparison.metric, effect.control),
                "Treatment": amount(comparison.metric, effect.treatment),
                "Lift": f"{lift_of(effect)} ({lift_interval(effect)})" if computed else ABSENT,
                "Drawn to the whole": ABSENT if comparison.shrunken is None else lift(comparison.shrunken),
                "p, corrected": p_value(effect.p_value if comparison.adjusted_p is None else comparison.adjusted_p),
                "Reading": reading_words(comparison),
            }
        )
    return pd.DataFrame(rows)


def checks(readout: Readout) -> pd.DataFrame:
    """What was looked at before the numbers may be trusted, the gravest first."""
    rank = sorted(readout.checks, key=lambda check: (not check.fatal, not check.alarm))
    rows = [
        {
            "Check": check.name[:1].upper() + check.name[1:],
            "Result": "✕ failed" if check.fatal else "⚠ look closer" if check.alarm else "✓ fine",
            "In words": check.says,
        }
        for check in rank
    ]
    return pd.DataFrame(rows)


def effects_csv(readout: Readout) -> bytes:
    """Every effect, overall, by segment and by day, with all digits, for a spreadsheet."""
    rows = [
        {
            "experiment": readout.experiment,
            "as_of": readout.as_of.isoformat(),
            "day": comparison.day.isoformat() if comparison.day else "",
            "metric": comparison.metric.name,
            "role": comparison.metric.role,
            "unit": comparison.metric.unit,
            "control_variant": readout.control,
            "variant": comparison.variant,
            "control": comparison.effect.control,
            "treatment": comparison.effect.treatment,
            "absolute": comparison.effect.absolute,
            "absolute_low": comparison.effect.ci[0],
            "absolute_high": comparison.effect.ci[1],
            "relative": comparison.effect.relative,
            "relative_low": comparison.effect.relative_ci[0],
            "relative_high": comparison.effect.relative_ci[1],
            "p_value": comparison.effect.p_value,
            "p_corrected": comparison.adjusted_p,
            "corrected_low": comparison.adjusted_ci[0] if comparison.adjusted_ci else None,
            "corrected_high": comparison.adjusted_ci[1] if comparison.adjusted_ci else None,
            "variance_saved": comparison.variance_saved,
            "chance_to_win": comparison.posterior.chance_to_win if comparison.posterior else None,
            "segment": f"{comparison.segment.name}={comparison.segment.value}" if comparison.segment else "",
            "level": comparison.effect.level,
            "method": comparison.effect.method,
            "reason": comparison.effect.reason,
        }
        for comparison in (*readout.effects, *readout.segments, *readout.daily)
    ]
    return pd.DataFrame(rows).to_csv(index=False).encode()


def meanings(metrics: Sequence[Metric]) -> list[str]:
    """What each metric is, in a line."""
    return [f"{label(metric.name)}: {metric.description or formula(metric)}" for metric in metrics]


def formula(metric: Metric) -> str:
    """A metric's definition, where nobody described it."""
    if metric.kind == "ratio":
        return f"{metric.numerator} per {metric.denominator}"
    if metric.kind == "proportion":
        return f"share of units with a {metric.numerator}"
    if metric.kind == "quantile":
        return f"the {percent(metric.quantile or 0.0, 0)} quantile over units of {metric.numerator}"
    if metric.kind == "retention":
        return f"share of units with a {metric.numerator} from day {metric.day:g} on"
    return f"{metric.numerator} per unit"


def rule(rule: DecisionRule) -> str:
    """The decision rule in a sentence."""
    return (
        f"Rule: false-alarm rate {percent(rule.alpha, 0)} over the primary metrics; sample-ratio alarm below "
        f"p = {rule.srm_alpha:g}; no verdict before {rule.min_days:g} days and {count(rule.min_units)} units."
    )


def _effect_row(comparison: Comparison, control: str, n: dict[str, int], several: bool) -> dict[str, str]:
    metric, effect = comparison.metric, comparison.effect
    row = {"Metric": label(metric.name), "Role": metric.role}
    if several:
        row["Variant"] = comparison.variant
    row |= {
        "Control": _with_n(amount(metric, effect.control), n.get(control)),
        "Treatment": _with_n(amount(metric, effect.treatment), n.get(comparison.variant)),
    }
    computed = is_computed(comparison)
    return row | {
        "Difference": f"{difference(metric, effect)} ({difference_interval(metric, effect)})" if computed else ABSENT,
        "Lift": f"{lift_of(effect)} ({lift_interval(effect)})" if computed else ABSENT,
        "p-value": p_value(effect.p_value),
        CORRECTED: ABSENT if comparison.adjusted_p is None else p_value(comparison.adjusted_p),
        CHANCE: ABSENT if comparison.posterior is None else chance(comparison.posterior.chance_to_win),
        RISK: ABSENT if comparison.posterior is None else risk(comparison.posterior.risk_treatment),
        SAVED: ABSENT if comparison.variance_saved is None else percent(comparison.variance_saved, 0),
        "Reading": reading_words(comparison),
    }


def _with_n(value: str, n: int | None) -> str:
    return value if n is None or value == ABSENT else f"{value} (n = {count(n)})"

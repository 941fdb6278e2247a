"""A plan in words and as a table. Pure."""

import math

import pandas as pd

from abtest.statistics.planning import Looks
from dashboards.numbers import ABSENT, amount, count, label, lift, percent
from experiments.plans import Forecast, Past, Reach

LOOKS: dict[Looks, str] = {
    "once": "Once, at the end",
    "planned": "At planned looks (daily, alpha spending)",
    "any time": "At any time (always valid)",
}
YEAR = 365


def answer(past: Past, wanted: Forecast, power: float, arms: int) -> str:
    """What a lift takes, in a sentence."""
    name, size = label(past.metric.name), change(wanted.lift)
    if not math.isfinite(wanted.units):
        return f"No number of units finds a change of {size} in {name}."
    each = count(math.ceil(wanted.units / arms))
    return (
        f"To find a change of {size} in {name} with {percent(power, 0)} power: {count(math.ceil(wanted.units))} units, "
        f"{each} in each of {arms} arms. {duration(wanted.days)}"
    )


def duration(days: float) -> str:
    """How long that takes at the pace of the past experiment, in a sentence."""
    if math.isnan(days):
        return "How long that takes is not known: the past experiment's units were not counted by day."
    if math.isinf(days):
        return "At the past experiment's pace that never comes: its last week brought no new units."
    if days > YEAR:
        return f"At the past experiment's pace that takes {days / YEAR:.1f} years: look for a larger lift."
    whole = math.ceil(days)
    weeks = " Round up to whole weeks: weekends are other days." if whole % 7 else ""
    return f"At the past experiment's pace that takes {whole} day{'s' * (whole != 1)}.{weeks}"


def reach_sentence(past: Past, found: Reach, power: float) -> str:
    """What some days of traffic can find, in a sentence."""
    if not math.isfinite(found.lift):
        return f"{found.days} days bring too little to find any change in {label(past.metric.name)}."
    return (
        f"{found.days} days bring about {count(round(found.units))} units: enough to find a change of "
        f"{change(found.lift)} or more with {percent(power, 0)} power."
    )


def change(share: float) -> str:
    """A lift with the digits that matter to a plan: +14.0%, +0.52%."""
    return lift(share, 1 if abs(share) >= 0.01 else 2)


def history(past: Past) -> pd.DataFrame:
    """What the plan rests on."""
    spread = math.sqrt(past.baseline.variance)
    saved = percent(past.variance_saved) if math.isfinite(past.variance_saved) else f"{ABSENT} no covariate was used"
    facts = {
        "Value in the control": amount(past.metric, past.baseline.value),
        "Spread of one unit": f"{spread / abs(past.baseline.value):.2f} times the value",
        "From": f"{count(past.units)} units of the control of {past.experiment}",
        "Units of all arms per day": pace(past),
        "Variance saved by CUPED": saved,
    }
    return pd.DataFrame({"What": list(facts), "Value": list(facts.values())})


def saving(past: Past) -> str:
    """What the switch for CUPED does here, or why it does nothing."""
    if not math.isfinite(past.variance_saved):
        return "The past experiment used no covariate for this metric, so what CUPED would save is not known."
    return f"What units did before the experiment took out {percent(past.variance_saved)} of the variance last time."


def pace(past: Past) -> str:
    """How fast units came: in the first week and in the last one, when most had been seen before."""
    n = past.arrivals
    if not n:
        return f"{ABSENT} not counted"
    first, last = n[min(7, len(n)) - 1] / min(7, len(n)), (n[-1] - (n[-8] if len(n) > 7 else 0)) / min(7, len(n))
    return f"{first:,.0f} new in the first week, {last:,.0f} new in the last"

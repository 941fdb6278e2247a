"""The pace of the log in words. Pure."""

from datetime import datetime, timedelta

from abtest.events.pace import Pace
from dashboards.numbers import count, moment, percent


def lag(pace: Pace, now: datetime) -> str:
    """How old the newest slate and the newest outcome are, in sentences."""
    return " ".join(
        f"The newest {noun} is {age(now - at)} old ({moment(at)})." if at else f"No {noun} is in the log."
        for noun, at in (("slate", pace.last_exposure), ("outcome", pace.last_outcome))
    )


def age(gap: timedelta) -> str:
    """A length of time, rounded to what matters.

    >>> age(timedelta(seconds=42)), age(timedelta(minutes=90)), age(timedelta(days=400))
    ('42 seconds', '1.5 hours', '400 days')
    """
    seconds = max(gap.total_seconds(), 0.0)
    for unit, size, places in (("days", 86_400, 0), ("hours", 3_600, 1), ("minutes", 60, 0)):
        if seconds >= (2 if unit == "days" else 1) * size:
            return f"{seconds / size:,.{places}f} {unit}"
    return f"{seconds:.0f} seconds"


def fallbacks(pace: Pace) -> str:
    """The share of slates that a fallback filled, in a sentence."""
    shown = sum(step.exposures for step in pace.steps)
    hours = len(pace.steps) * pace.step.total_seconds() / 3_600
    return (
        f"The {hours:g} hours up to the newest slate: {count(shown)} slates, "
        f"{percent(pace.fallback_share)} of them filled by a fallback, wholly or in part (dashed)."
    )

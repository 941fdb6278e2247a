"""The global holdout as an experiment of its own: who was held out, against as many who were not."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from abtest.types import Experiment, Exposure, Holdout, Variant

KEY = "holdout"
"""Under which both arms are logged and read; no other experiment may have it."""
HELD_OUT, EVERYBODY = "held out", "everybody else"
COMPANION = ":holdout"
"""What the id of a slate's second row ends with: one of an experiment that was also shown to a unit of the holdout."""

_BELOW = 1e-9  # of a bucket's width, 1e-4: 0.5 + 0.07 is a hair above 0.57, which would be one bucket more


def as_experiment(holdout: Holdout | None, baseline: Mapping[str, Any] | None = None) -> Experiment | None:
    """The holdout as an experiment with two arms of one size; None where nobody is held out.

    The held out are the buckets [0, share) of the holdout's hash, as for every other experiment; they are compared
    with those in [1/2, 1/2 + share). A sample of the others is enough: with a share of 5% all of them would cost
    nineteen times the rows and narrow the intervals by a quarter. And both arms shrink from their far ends: whoever is
    in one of them after a holdout was made smaller was in it all along, so its history stays. baseline: what the held
    out are given, the payload of their arm.
    """
    if holdout is None or holdout.share <= _BELOW:
        return None
    half = holdout.share <= 0.5
    weights = (0.5, 0.5) if half else (holdout.share, 1 - holdout.share)
    return Experiment(
        key=KEY,
        variants=(
            Variant(name=HELD_OUT, weight=weights[0], payload=dict(baseline or {})),
            Variant(name=EVERYBODY, weight=weights[1]),
        ),
        salt=holdout.salt,
        traffic=2 * (holdout.share - _BELOW) if half else 1.0,
        status="running",
    )


def companion(shown: Exposure, arm: str) -> Exposure:
    """The same slate under the holdout. Its id follows from the slate's own: sent twice, both are kept once."""
    return replace(shown, id=f"{shown.id}{COMPANION}", experiment=KEY, variant=arm)


def reading(holdout: Holdout) -> str:
    """How to read what came of a holdout, in a sentence or two."""
    if as_experiment(holdout) is None:
        return "Nobody is held out: what experiments and what was shipped did together cannot be measured."
    return (
        f"`bakeoff analyse {KEY}` compares the held out with as many of the others, on the metrics of all experiments: "
        "what everything that was shipped since it began, and everything that runs, does together."
    )

"""The tables of promises and lifts. Pure."""

from collections.abc import Mapping, Sequence

import pandas as pd

from dashboards.numbers import ABSENT, fixed, label, lift, percent
from experiments.offline_online import Point, Prediction


def record(found: Sequence[Prediction]) -> pd.DataFrame:
    """How each offline metric has done, the best first."""
    rows = [
        {
            "Offline metric": label(one.metric),
            "Comparisons": str(one.n),
            "Rank correlation": _span(one.rank, one.rank_low, one.rank_high),
            "Right sign": f"{one.agree} of {one.decided}" if one.decided else ABSENT,
            "Share of right signs": _shares(one),
        }
        for one in found
    ]
    return pd.DataFrame(rows)


def points(found: Sequence[Point], metric: str) -> pd.DataFrame:
    """Every comparison: what one offline metric promised, and what came."""
    rows = [
        {
            "Experiment": point.experiment,
            "Treatment against control": f"{point.treatment} against {point.control}",
            f"Offline: {label(metric)}": fixed(point.offline[metric].value, 4, signed=True)
            if metric in point.offline
            else ABSENT,
            "Measured lift": f"{label(point.metric)} {lift(point.lift)} ({lift(point.low)} to {lift(point.high)})",
            "Sure": "yes" if point.sure else "cannot tell",
        }
        for point in found
    ]
    return pd.DataFrame(rows)


def left_out(reasons: Mapping[str, str]) -> list[str]:
    """Which experiments are not counted, and why."""
    return [f"{key}: {why}" for key, why in reasons.items()]


def _span(value: float, low: float, high: float) -> str:
    if value != value:
        return ABSENT
    return f"{fixed(value, 2)} ({fixed(low, 2)} to {fixed(high, 2)})"


def _shares(one: Prediction) -> str:
    if not one.decided:
        return ABSENT
    return f"{percent(one.share, 0)} ({percent(one.share_low, 0)} to {percent(one.share_high, 0)})"

"""The true effect of every variant: everybody gets each in turn, with the same luck."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from abtest.simulation.choice import Behaviour
from abtest.simulation.policy import Policy
from abtest.simulation.visits import Market, PlantedEffect, each_day
from abtest.simulation.world import World

# of each user, in this order; the metrics are ratios of two sums of them
TOTALS = ("users", "visits", "impressions", "clicks", "purchases", "revenue")
METRICS = {
    "ctr": ("clicks", "impressions"),
    "visits_per_user": ("visits", "users"),
    "clicks_per_user": ("clicks", "users"),
    "purchases_per_user": ("purchases", "users"),
    "revenue_per_user": ("revenue", "users"),
}


@dataclass(frozen=True, kw_only=True)
class TrueEffect:
    """A metric when all users get the control and when all get the treatment. error: Monte Carlo, of `absolute`."""

    metric: str
    control: float
    treatment: float
    absolute: float
    relative: float
    error: float


def true_effect(
    world: World,
    *,
    variants: tuple[str, str],
    new_policy: Callable[[], Policy],
    start: datetime,
    days: int,
    seeds: Sequence[int],
    behaviour: Behaviour | None = None,
    planted: Mapping[str, PlantedEffect] = MappingProxyType({}),
) -> dict[str, TrueEffect]:
    """The effect of variants[1] against variants[0] on each metric of METRICS, over users who came at least once.

    Each seed lives `days` days twice, all control and all treatment, with the same draws for the same user: only what
    the treatment changes differs. `new_policy` makes a policy that has observed nothing yet, one for each run. The
    error is that of a world like this one, by the spread over users of each one's difference; more seeds lower it
    until the users themselves differ.
    """
    if not seeds:
        raise ValueError("true_effect needs at least one seed, got none")
    totals = np.zeros((2, len(TOTALS), world.n_users))
    for seed in seeds:
        for arm, name in enumerate(variants):
            market = Market(
                world=world,
                variants=(name,),
                assign=_everybody,
                policy=new_policy(),
                start=start,
                seed=seed,
                behaviour=behaviour or Behaviour(),
                planted={key: effect for key, effect in planted.items() if key == name},
            )
            totals[arm] += user_totals(market, days)
    return {metric: _effect(metric, totals) for metric in METRICS}


def _everybody(units: NDArray[np.str_], _: datetime) -> NDArray[np.int8]:
    return np.zeros(len(units), dtype=np.int8)


def user_totals(market: Market, count: int) -> NDArray[np.float64]:
    """What each user came to in `count` days, (totals, n) in the order of TOTALS; users: 1 = came at all."""
    totals = np.zeros((len(TOTALS), market.world.n_users))
    for waves in each_day(market, count):
        for wave in waves:
            # a wave holds each user once, so plain addition by index is right
            totals[1:, wave.users] += [
                np.ones(len(wave.users)),
                (wave.slates.items >= 0).sum(axis=1),
                wave.clicks.sum(axis=1),
                (wave.pieces > 0).sum(axis=1),
                wave.revenue.sum(axis=1),
            ]
    totals[0] = totals[1] > 0
    return totals


def _effect(metric: str, totals: NDArray[np.float64]) -> TrueEffect:
    above, below = (totals[:, TOTALS.index(name)] for name in METRICS[metric])
    if not below.sum(axis=1).all():
        return TrueEffect(
            metric=metric, **dict.fromkeys(("control", "treatment", "absolute", "relative", "error"), np.nan)
        )
    control, treatment = (above.sum(axis=1) / below.sum(axis=1)).tolist()
    # the delta method on the paired difference: each user's share in how far the two ratios lie apart
    share = (above - np.array([[control], [treatment]]) * below) / below.mean(axis=1, keepdims=True)
    error = float(np.std(share[1] - share[0], ddof=1) / np.sqrt(share.shape[1])) if share.shape[1] > 1 else np.nan
    absolute = treatment - control
    return TrueEffect(
        metric=metric,
        control=control,
        treatment=treatment,
        absolute=absolute,
        relative=absolute / control if control else np.nan,
        error=error,
    )

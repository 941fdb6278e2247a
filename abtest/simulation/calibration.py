"""A world from a real log: what the log can teach is fitted, what it cannot is a default, and the report says which."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import softmax
from scipy.stats import ks_2samp

from abtest.simulation import users as state
from abtest.simulation.choice import Behaviour, examination, expected_clicks, purchase_chance
from abtest.simulation.draws import Draws
from abtest.simulation.response import Response, fit_response
from abtest.simulation.rhythm import (
    MEDIAN_VISITS,
    Activity,
    LogRows,
    activity,
    distinct_pairs,
    gap_days,
    read_log,
    weekdays,
)
from abtest.simulation.world import QUALITY_WEIGHT, World, affinity

N_CATEGORIES = 20
PLACES = 10
SIMULATED_DAYS = 56

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """How the fitted world compares with the log. AUCs: see Response.

    activity_log_sd: of events per user; visits_per_day: of the median user; activity_ks: Kolmogorov-Smirnov distance
    between the log's events and the world's visits per user, both over their mean; gini_*: of item popularity, in the
    log and in what the world's users would choose; gap_days_*: median and 90% quantile of the days between a user's
    active days (NaN: nobody returned; the world is watched for 56 days only); ctr, orders_per_click: expected on the
    popularity slate, before anybody tires. fitted, defaulted: in words.
    """

    auc_held_out: float
    auc_popularity: float
    auc_simulated: float
    popularity_weight: float
    taste_weight: float
    activity_log_sd: float
    visits_per_day: float
    activity_ks: float
    gini_log: float
    gini_simulated: float
    gap_days_log: tuple[float, float]
    gap_days_simulated: tuple[float, float]
    ctr: float
    orders_per_click: float
    fitted: tuple[str, ...]
    defaulted: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A world, the behaviour to run it with, and how they were come by."""

    world: World
    behaviour: Behaviour
    report: FitReport


def fit_world(
    user: NDArray[np.integer],
    item: NDArray[np.integer],
    time: NDArray[np.datetime64],
    weight: NDArray[np.floating] | None = None,
    *,
    users: NDArray[np.str_],
    items: NDArray[np.str_],
    prices: Array | None = None,
    categories: NDArray[np.integer] | None = None,
    seed: int,
    dimensions: int = 16,
    target_ctr: float = 0.05,
    target_orders: float = 0.025,
    behaviour: Behaviour | None = None,
) -> Fitted:
    """Fit a world on a log's rows (user, item: numbers into `users`, `items`; time: UTC; weight: strength > 0).

    Tastes and qualities: see response. Activity and weekdays: see rhythm. Base logits: so that the ten most popular
    items, shown to all, get `target_ctr` clicks per item and `target_orders` purchases per click.
    """
    rows = read_log(user, item, time, weight, len(users), len(items))
    if not 1 <= dimensions < min(len(users), len(items)):
        raise ValueError(f"dimensions must lie in [1, {min(len(users), len(items)) - 1}], got {dimensions}")
    for name, target in (("target_ctr", target_ctr), ("target_orders", target_orders)):
        if not 0 < target < 0.2:
            raise ValueError(f"{name} must lie in (0, 0.2), got {target}")
    rng = np.random.default_rng(seed)
    n, m = len(users), len(items)
    who, what, strength = distinct_pairs(rows, m)
    response = fit_response(who, what, strength, n_users=n, n_items=m, dimensions=dimensions, rng=rng)
    rhythm = activity(rows, n)
    measured = weekdays(rows)
    manner = behaviour or Behaviour(weekdays=measured or Behaviour.weekdays)
    world = World(
        users=users,
        items=items,
        user_taste=response.user_taste,
        item_taste=response.item_taste,
        user_bias=rng.normal(0.0, 0.6, n),
        item_quality=response.item_quality,
        price=np.ones(m) if prices is None else prices,
        price_sensitivity=rng.lognormal(np.log(0.4), 0.3, n),
        category=_clusters(response.item_taste, rng) if categories is None else np.asarray(categories, np.int64),
        activity=rhythm.visits,
        weekend_taste=rng.normal(0.0, 0.15, n),
        mobile=rng.random(n) < 0.6,
        join_day=np.full(n, -1),
        item_birth_day=np.full(m, -1),
        sigma_0=0.0,
        purchase_intercept=0.0,
    )
    popularity = np.bincount(what, minlength=m)
    slate = np.lexsort((np.arange(m), -popularity))[:PLACES].astype(np.int32)
    world = _with_base_logits(world, manner, slate, target_ctr, target_orders)
    learnt = {
        "prices": prices is not None,
        "categories": categories is not None,
        "visits per day of the median user": rhythm.level_fitted,
        "weekday rhythm": behaviour is None and measured is not None,
    }
    report = _report(world, manner, response, rhythm, rows, popularity, slate, learnt, seed, rng)
    return Fitted(world=world, behaviour=manner, report=report)


ALWAYS_FITTED = (
    "tastes and item qualities (truncated SVD and log popularity, scaled to the held-out AUC)",
    "users' relative activity (events per user)",
    "base logits of click and purchase (to the targets, on the popularity slate)",
)
ALWAYS_DEFAULTED = (
    "readiness to click: normal, sd .6",
    "price sensitivity: log-normal, median .4",
    "weekend taste: normal, sd .15",
    "mobile: 60% of users",
    "everybody has joined, every item is on sale",
    "position effect, leaving, satiation, repeats, happiness, churn, drift: as in Behaviour (the log has no exposures)",
)
DEFAULTS = {
    "prices": "1 for every item, so revenue counts pieces",
    "categories": f"{N_CATEGORIES} clusters of the item vectors",
    "visits per day of the median user": f"{MEDIAN_VISITS} (too few users return in the log)",
    "weekday rhythm": "Behaviour's (too few user-days, or a behaviour was given)",
}


def _report(
    world: World,
    manner: Behaviour,
    response: Response,
    rhythm: Activity,
    rows: LogRows,
    popularity: NDArray[np.int64],
    slate: NDArray[np.int32],
    learnt: dict[str, bool],
    seed: int,
    rng: np.random.Generator,
) -> FitReport:
    """The fitted world beside the log; learnt: what could be, by name; slate: the most popular items."""
    ctr, orders = _expected(world, manner, slate)
    visits = _simulated_visits(world, manner, seed)
    return FitReport(
        auc_held_out=response.auc_held_out,
        auc_popularity=response.auc_popularity,
        auc_simulated=response.auc_simulated,
        popularity_weight=response.popularity_weight,
        taste_weight=response.taste_weight,
        activity_log_sd=rhythm.log_sd,
        visits_per_day=float(np.median(world.activity)),
        activity_ks=_distance(np.bincount(rows.user, minlength=len(world.users)), visits.sum(axis=0)),
        gini_log=_gini(popularity),
        gini_simulated=_gini(_chosen(world, rng)),
        gap_days_log=gap_days(rows.user, rows.day),
        gap_days_simulated=gap_days(*np.nonzero(visits.T)),
        ctr=ctr,
        orders_per_click=orders,
        fitted=(*ALWAYS_FITTED, *(name for name, known in learnt.items() if known)),
        defaulted=(*(f"{name}: {DEFAULTS[name]}" for name, known in learnt.items() if not known), *ALWAYS_DEFAULTED),
    )


def _clusters(vectors: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """Items by direction of taste: ten rounds of spherical k-means; an empty cluster keeps its centre."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    centres = unit[rng.permutation(len(unit))[:N_CATEGORIES]]
    for _ in range(10):
        nearest = (unit @ centres.T).argmax(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, unit)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centres)
    return np.asarray((unit @ centres.T).argmax(axis=1))


def _with_base_logits(world: World, behaviour: Behaviour, slate: NDArray[np.int32], ctr: float, orders: float) -> World:
    """The world whose users click and buy as often as wanted when all see this slate."""

    def click_gap(logit: float) -> float:
        return _expected(replace(world, sigma_0=logit), behaviour, slate)[0] - ctr

    world = replace(world, sigma_0=float(brentq(click_gap, -30.0, 30.0)))

    def order_gap(logit: float) -> float:
        return _expected(replace(world, purchase_intercept=logit), behaviour, slate)[1] - orders

    return replace(world, purchase_intercept=float(brentq(order_gap, -30.0, 30.0)))


def _expected(world: World, behaviour: Behaviour, slate: NDArray[np.int32]) -> tuple[float, float]:
    """Clicks per item shown and orders per click when every user, rested, sees the slate once; each by activity."""
    everybody = np.arange(world.n_users, dtype=np.int32)
    liking = affinity(world, everybody, np.broadcast_to(slate, (world.n_users, len(slate))))
    clicks = expected_clicks(liking, examination(world.mobile, len(slate), behaviour), behaviour)
    buys = purchase_chance(
        liking, world.price_gap[slate], world.price_sensitivity[:, None], world.purchase_intercept, behaviour
    )
    clicks *= world.activity[:, None] / world.activity.mean()
    return float(clicks.mean()), float((clicks * buys).sum() / clicks.sum())


def _simulated_visits(world: World, behaviour: Behaviour, seed: int) -> NDArray[np.int64]:
    """Visits of rested users, (days, n)."""
    users, draws = state.fresh(world), Draws(seed)
    return np.stack(
        [state.visits(world, users, behaviour, draws, day=day, weekday=day % 7) for day in range(SIMULATED_DAYS)]
    )


def _distance(log: NDArray[np.int64], simulated: NDArray[np.int64]) -> float:
    """How far apart the shapes of two distributions over users are, each over its mean."""
    return float(ks_2samp(log / log.mean(), simulated / max(simulated.mean(), 1e-9)).statistic)


def _chosen(world: World, rng: np.random.Generator) -> Array:
    """How often each item would be chosen from the whole catalogue, by users drawn by their activity."""
    who = rng.choice(world.n_users, size=min(world.n_users, 400), p=world.activity / world.activity.sum())
    logits = world.user_taste[who] @ world.item_taste.T + QUALITY_WEIGHT * world.item_quality
    return np.asarray(softmax(logits, axis=1).mean(axis=0))


def _gini(counts: Array | NDArray[np.int64]) -> float:
    """0: every item equally often; 1: one item has it all."""
    ordered = np.sort(counts).astype(np.float64)
    n = len(ordered)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))

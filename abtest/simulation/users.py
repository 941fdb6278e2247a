"""How users are on a given day: tired of a category, happy, gone, their tastes drifted. Arrays that change by day."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from abtest.simulation.choice import Behaviour
from abtest.simulation.draws import Draws, Purpose, poisson
from abtest.simulation.world import World, affinity

# at most so many counters of showings per user; items that share one share the count (rare: a user sees few items)
COUNTERS = 1024
SATURDAY = 5


@dataclass(kw_only=True)
class Users:
    """The state of n users. Changed in place by `record` and `close_day`; everything else only reads it.

    satiation (n, categories); happiness (n,) in [0, 1]; alive (n,); shown (n, counters): times shown, at most 255;
    taste (n, d); first_exposure (n,): the day they were first shown a variant, -1 = never yet.
    """

    satiation: NDArray[np.float32]
    happiness: NDArray[np.float64]
    alive: NDArray[np.bool_]
    shown: NDArray[np.uint8]
    taste: NDArray[np.float32]
    first_exposure: NDArray[np.int32]


def fresh(world: World) -> Users:
    """Everybody rested, half happy, alive, with the tastes the world gives them."""
    n = world.n_users
    return Users(
        satiation=np.zeros((n, world.n_categories), dtype=np.float32),
        happiness=np.full(n, 0.5),
        alive=np.ones(n, dtype=np.bool_),
        shown=np.zeros((n, min(world.n_items, COUNTERS)), dtype=np.uint8),
        taste=world.user_taste.astype(np.float32),
        first_exposure=np.full(n, -1, dtype=np.int32),
    )


def visit_rates(world: World, users: Users, behaviour: Behaviour, *, day: int, weekday: int) -> NDArray[np.float64]:
    """Expected visits of each user on this day, (n,); weekday 0 = Monday."""
    mood = behaviour.happiness_visits * (users.happiness - 0.5)
    weekend = world.weekend_taste if weekday >= SATURDAY else 0.0
    here = users.alive & (world.join_day <= day)
    return np.asarray(here * world.activity * behaviour.weekdays[weekday] * np.exp(mood + weekend))


def visits(
    world: World, users: Users, behaviour: Behaviour, draws: Draws, *, day: int, weekday: int
) -> NDArray[np.int64]:
    """How often each user comes on this day, (n,)."""
    uniforms = draws.uniforms(Purpose.VISITS, day, np.arange(world.n_users))
    return poisson(uniforms, visit_rates(world, users, behaviour, day=day, weekday=weekday))


def attraction(
    world: World, users: Users, behaviour: Behaviour, who: NDArray[np.int32], items: NDArray[np.int32], *, day: int
) -> NDArray[np.float32]:
    """The logit of a click here and now, (b,) x (b, k) -> (b, k): affinity less fatigue; -inf where nothing stands."""
    liking = affinity(world, who, items, taste=users.taste)
    liking -= behaviour.satiation_strength * users.satiation[who[:, None], world.category[items]]
    liking -= (behaviour.repeat_penalty * _LOG1P)[users.shown[who[:, None], items % users.shown.shape[1]]]
    # an item that is not born yet cannot be clicked, whatever a policy shows
    liking[(items < 0) | (world.item_birth_day[items] > day)] = -np.inf
    return liking


def record(
    world: World,
    users: Users,
    behaviour: Behaviour,
    who: NDArray[np.int32],
    items: NDArray[np.int32],
    clicks: NDArray[np.bool_],
) -> None:
    """One visit of each user in `who` (each once) has happened: showings, satiation and happiness move."""
    rows, places = np.nonzero(items >= 0)
    slots = (who[rows], items[rows, places] % users.shown.shape[1])
    users.shown[slots] += users.shown[slots] < 255
    rows, places = np.nonzero(clicks)
    np.add.at(users.satiation, (who[rows], world.category[items[rows, places]]), behaviour.satiation_step)
    memory = behaviour.happiness_memory
    users.happiness[who] = memory * users.happiness[who] + (1.0 - memory) * clicks.any(axis=1)


def close_day(
    world: World,
    users: Users,
    behaviour: Behaviour,
    draws: Draws,
    *,
    day: int,
    visitors: NDArray[np.int32],
    clicked: tuple[NDArray[np.int32], NDArray[np.int32]],
) -> None:
    """Night falls: satiation fades, tastes drift, some of the day's visitors are lost. clicked: (users, items)."""
    users.satiation *= behaviour.satiation_decay
    hazard = behaviour.churn * np.exp(-behaviour.churn_happiness * (users.happiness[visitors] - 0.5))
    users.alive[visitors] &= draws.uniforms(Purpose.CHURN, day, visitors) >= hazard
    _drift(world, users, behaviour, *clicked)
    if behaviour.taste_walk > 0:
        uniforms = draws.uniforms(Purpose.WALK, day, visitors, places=users.taste.shape[1])
        _keep_length(users.taste, visitors, behaviour.taste_walk * ndtri(uniforms))


def _drift(world: World, users: Users, behaviour: Behaviour, who: NDArray[np.int32], items: NDArray[np.int32]) -> None:
    """Pull each clicker's taste towards the mean of what they clicked (not towards one common vector, as SARDINE)."""
    if not len(who) or behaviour.taste_pull == 0:
        return
    clickers, places = np.unique(who, return_inverse=True)
    mean = np.zeros((len(clickers), users.taste.shape[1]))
    np.add.at(mean, places, world.item_taste[items])
    own = users.taste[clickers].astype(np.float64)
    # of the taste's own length, so that the pull is the same share of a strong and of a weak taste
    mean *= _lengths(own) / np.maximum(_lengths(mean), 1e-12)
    _keep_length(users.taste, clickers, behaviour.taste_pull * (mean - own))


def _keep_length(taste: NDArray[np.float32], who: NDArray[np.int32], step: NDArray[np.float64]) -> None:
    own = taste[who].astype(np.float64)
    moved = own + step
    taste[who] = moved * (_lengths(own) / np.maximum(_lengths(moved), 1e-12))


def _lengths(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(vectors, axis=1, keepdims=True))


_LOG1P = np.log1p(np.arange(256)).astype(np.float32)

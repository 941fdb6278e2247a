"""The market day by day: who comes, what they are shown, what they do. No log: see traffic for the events."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from abtest.simulation import users as state
from abtest.simulation.choice import Behaviour, clicks, examination, purchase_chance
from abtest.simulation.draws import Draws, Purpose, poisson
from abtest.simulation.policy import Observed, Policy, Slates, checked
from abtest.simulation.world import World

# unit ids and a time -> the number of each unit's variant, -1 = not part of the experiment
Assign = Callable[[NDArray[np.str_], datetime], NDArray[np.int8]]

SECONDS_PER_DAY = 86_400
# a click follows the slate by so long per place; a purchase follows its click
CLICK_SECONDS, PURCHASE_SECONDS = 4, 90
MOST_PLACES = 65_536


@dataclass(frozen=True, kw_only=True)
class PlantedEffect:
    """A known effect of a variant, added to every click's logit: delta + novelty * exp(-days since first shown / tau).

    A negative novelty is primacy: users need to learn the new thing.
    """

    delta: float = 0.0
    novelty: float = 0.0
    tau: float = 6.0

    def __post_init__(self) -> None:
        if not (np.isfinite([self.delta, self.novelty, self.tau]).all() and self.tau > 0):
            raise ValueError(f"a planted effect must be finite with tau above 0, got {self}")


@dataclass(frozen=True, kw_only=True)
class Wave:
    """One visit of each of b users, the users' number-th of the day; they may be in different variants.

    users (b,); variants (b,): -1 = not part of the experiment; times (b,); items, scores (b, k) and fallback (b,) as
    the policy gave them; clicks (b, k); pieces (b, k): how many were bought; revenue (b, k).
    """

    number: int
    users: NDArray[np.int32]
    variants: NDArray[np.int8]
    times: NDArray[np.datetime64]
    slates: Slates
    clicks: NDArray[np.bool_]
    pieces: NDArray[np.int64]
    revenue: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Market:
    """Everything that stays the same from day to day."""

    world: World
    variants: tuple[str, ...]
    assign: Assign
    policy: Policy
    start: datetime
    seed: int
    behaviour: Behaviour
    planted: Mapping[str, PlantedEffect]

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise ValueError(f"start must have a time zone, got {self.start}; use datetime(..., tzinfo=UTC)")
        if unknown := sorted(set(self.planted) - set(self.variants)):
            raise ValueError(f"planted names {unknown}, which are no variants; known: {', '.join(self.variants)}")


def each_day(market: Market, count: int) -> Iterator[list[Wave]]:
    """Live through `count` days; each gives its visits, in waves, and is observed by the policy when it is over."""
    if count < 1:
        raise ValueError(f"days must be >= 1, got {count}")
    users, draws = state.fresh(market.world), Draws(market.seed)
    for day in range(count):
        waves = _day(market, users, draws, day)
        yield waves
        market.policy.observe(observed(waves))


def observed(waves: list[Wave]) -> Observed:
    """The clicks and purchases of a day as rows in the order of time (ties: user, item, click before purchase)."""
    columns = [rows for wave in waves for rows in (_acts(wave, bought=False), _acts(wave, bought=True))]
    empty = (np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, "U8"), np.empty(0), np.empty(0, "M8[us]"))
    users, items, kinds, values, times = (np.concatenate(parts) for parts in zip(empty, *columns, strict=True))
    order = np.lexsort((kinds, items, users, times))
    return Observed(
        users=users[order], items=items[order], kinds=kinds[order], values=values[order], times=times[order]
    )


def moments_of(wave: Wave, rows: NDArray[np.intp], places: NDArray[np.intp], *, bought: bool) -> NDArray[np.datetime64]:
    """When the clicks (or the purchases after them) at these places of the slates happened."""
    seconds = CLICK_SECONDS * (places + 1) + (PURCHASE_SECONDS if bought else 0)
    return np.asarray(wave.times[rows] + seconds.astype("m8[s]"))


def _acts(wave: Wave, *, bought: bool) -> tuple[NDArray[np.generic], ...]:
    rows, places = np.nonzero(wave.pieces if bought else wave.clicks)
    values = wave.revenue[rows, places] if bought else np.ones(len(rows))
    kinds = np.full(len(rows), "purchase" if bought else "click", dtype="U8")
    times = moments_of(wave, rows, places, bought=bought)
    return wave.users[rows], wave.slates.items[rows, places], kinds, values, times


def _day(market: Market, users: state.Users, draws: Draws, day: int) -> list[Wave]:
    world, behaviour = market.world, market.behaviour
    midnight = market.start + timedelta(days=day)
    coming = state.visits(world, users, behaviour, draws, day=day, weekday=midnight.weekday())
    visitors = np.flatnonzero(coming).astype(np.int32)
    variants = _assigned(market, visitors, midnight)
    seconds = _visit_seconds(visitors, coming[visitors], behaviour, draws, day)
    started = np.datetime64(midnight.astimezone(UTC).replace(tzinfo=None), "us")

    waves = []
    for number, moments in enumerate(seconds):
        here = ~np.isnan(moments)
        times = started + (moments[here] * 1e6).astype("m8[us]")
        wave = _wave(market, users, draws, day, number, visitors[here], variants[here], times)
        state.record(world, users, behaviour, wave.users, wave.slates.items, wave.clicks)
        waves.append(wave)

    who, items = _clicked(waves)
    state.close_day(world, users, behaviour, draws, day=day, visitors=visitors, clicked=(who, items))
    return waves


def _clicked(waves: list[Wave]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The users and items of a day's clicks, wave by wave."""
    who, items = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    for wave in waves:
        rows, places = np.nonzero(wave.clicks)
        who.append(wave.users[rows])
        items.append(wave.slates.items[rows, places])
    return np.concatenate(who), np.concatenate(items)


def _wave(
    market: Market,
    users: state.Users,
    draws: Draws,
    day: int,
    number: int,
    who: NDArray[np.int32],
    variants: NDArray[np.int8],
    times: NDArray[np.datetime64],
) -> Wave:
    slates = _slates(market, who, variants, times)
    users.first_exposure[who[(variants >= 0) & (users.first_exposure[who] < 0)]] = day
    liking = state.attraction(market.world, users, market.behaviour, who, slates.items, day=day)
    liking += _planted(market, variants, day - users.first_exposure[who])[:, None]
    clicked = _clicks(market, draws, day, number, who, liking)
    pieces = _purchases(market, draws, day, number, who, slates.items, liking, clicked)
    revenue = pieces * market.world.price[slates.items]
    return Wave(
        number=number,
        users=who,
        variants=variants,
        times=times,
        slates=slates,
        clicks=clicked,
        pieces=pieces,
        revenue=revenue,
    )


def _assigned(market: Market, visitors: NDArray[np.int32], at: datetime) -> NDArray[np.int8]:
    variants = np.asarray(market.assign(market.world.users[visitors], at))
    known = len(market.variants)
    if variants.shape != visitors.shape or ((variants < -1) | (variants >= known)).any():
        raise ValueError(f"assign must give one number from -1 to {known - 1} per unit, got {variants!r}")
    return variants.astype(np.int8)


def _visit_seconds(
    visitors: NDArray[np.int32], counts: NDArray[np.int64], behaviour: Behaviour, draws: Draws, day: int
) -> NDArray[np.float64]:
    """The second of the day of each visit, (waves, visitors), rising by wave; NaN = no such visit."""
    waves = int(counts.max(initial=0))
    curve = np.concatenate([[0.0], np.cumsum(behaviour.hours)]) / sum(behaviour.hours)
    uniforms = draws.uniforms(Purpose.HOUR, day, visitors, places=max(waves, 1))
    seconds = np.interp(uniforms, curve, np.linspace(0, SECONDS_PER_DAY, len(curve)))
    seconds[np.arange(max(waves, 1)) >= counts[:, None]] = np.nan
    return np.sort(seconds, axis=1).T[:waves]


def _slates(
    market: Market, who: NDArray[np.int32], variants: NDArray[np.int8], times: NDArray[np.datetime64]
) -> Slates:
    """One call of the policy per variant. Who is not part of the experiment gets what the control gets."""
    # the wave's first visit: what a policy may know must lie before every visit that it serves
    at = times.min().astype(datetime).replace(tzinfo=UTC)
    served = np.maximum(variants, 0)
    parts, rows = [], []
    for number, name in enumerate(market.variants):
        mine = np.flatnonzero(served == number)
        if len(mine):
            slates = market.policy.slates(name, who[mine], at)
            parts.append(checked(slates, variant=name, n_users=len(mine), n_items=market.world.n_items))
            rows.append(mine)
    places = max(part.items.shape[1] for part in parts)
    items = np.full((len(who), places), -1, dtype=np.int32)
    scores = np.full((len(who), places), np.nan, dtype=np.float32)
    fallback = np.zeros(len(who), dtype=np.bool_)
    for part, mine in zip(parts, rows, strict=True):
        width = part.items.shape[1]
        items[mine, :width], scores[mine, :width], fallback[mine] = part.items, part.scores, part.fallback
    return Slates(items=items, scores=scores, fallback=fallback)


def _planted(market: Market, variants: NDArray[np.int8], age: NDArray[np.int32]) -> NDArray[np.float32]:
    """What is added to the logits of each user's slate, from the days since their first exposure."""
    added = np.zeros(len(variants), dtype=np.float32)
    for name, effect in market.planted.items():
        mine = variants == market.variants.index(name)
        added[mine] = effect.delta + effect.novelty * np.exp(-age[mine] / effect.tau)
    return added


def _clicks(
    market: Market, draws: Draws, day: int, number: int, who: NDArray[np.int32], liking: NDArray[np.float32]
) -> NDArray[np.bool_]:
    places = liking.shape[1]
    return clicks(
        liking,
        examination(market.world.mobile[who], places, market.behaviour),
        market.behaviour,
        click=draws.uniforms(Purpose.CLICK, day, who, number, places=places),
        patience=draws.uniforms(Purpose.PATIENCE, day, who, number),
        leave=draws.uniforms(Purpose.LEAVE, day, who, number),
    )


def _purchases(
    market: Market,
    draws: Draws,
    day: int,
    number: int,
    who: NDArray[np.int32],
    items: NDArray[np.int32],
    liking: NDArray[np.float32],
    clicked: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """How many pieces of each place's item are bought, (b, k); only what was clicked."""
    world, behaviour = market.world, market.behaviour
    rows, places = np.nonzero(clicked)
    chance = purchase_chance(
        liking[rows, places],
        world.price_gap[items[rows, places]],
        world.price_sensitivity[who[rows]],
        world.purchase_intercept,
        behaviour,
    )
    # a place of a visit has its own draw, whatever else was clicked and however long the slate is
    visit = number * MOST_PLACES + places
    bought = draws.uniforms(Purpose.PURCHASE, day, who[rows], visit) < chance
    extra = poisson(draws.uniforms(Purpose.BASKET, day, who[rows], visit), behaviour.basket)
    pieces = np.zeros(clicked.shape, dtype=np.int64)
    pieces[rows, places] = bought * (1 + extra)
    return pieces

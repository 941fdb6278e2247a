"""What the users of a market do before any experiment: they visit, look, click and buy, each by the truth of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from recsys.data.sources.truth import Market

KINDS = ("view", "click", "purchase")
TASTE_PULL, QUALITY_PULL = 1.8, 1.5
"""How strongly taste and quality draw the eye: the log odds of looking at one item instead of another. With these the
popularity of the default market falls with rank as in real logs (Zipf slope .5 to .84 over ranks .1 to 30%)."""
LOOKS_AGAIN = 0.3
"""The chance of a look at an item that the user looked at in an earlier visit; never twice in one visit."""
HOURS = (3, 2, 1, 1, 1, 2, 4, 7, 9, 9, 9, 9, 11, 10, 9, 9, 10, 12, 14, 17, 20, 19, 12, 6)
"""Relative visits by hour of the day, UTC."""
SECONDS_BETWEEN_LOOKS = 40.0
DAY = 86_400
CELLS = 4_000_000
"""User-item pairs held at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Log:
    """Rows in no order: user, item (n,); kind (n,) int8, place in KINDS; second (n,) since the start of the market."""

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    kind: NDArray[np.int8]
    second: NDArray[np.int64]


def shop(market: Market, looks_per_user: float, rng: np.random.Generator) -> Log:
    """The log of the whole window, `looks_per_user` looks by the mean user, before repeated ones are skipped."""
    n_users = len(market.activity)
    looks_per_visit = looks_per_user * n_users / expected_visits(market).sum()
    size = max(1, CELLS // max(len(market.price), market.days))
    blocks = [np.arange(first, min(first + size, n_users)) for first in range(0, n_users, size)]
    parts = [part for users in blocks for part in _block(market, users, looks_per_visit, rng)]
    log = Log(
        user=np.concatenate([part.user for part in parts]),
        item=np.concatenate([part.item for part in parts]),
        kind=np.concatenate([part.kind for part in parts]),
        second=np.concatenate([part.second for part in parts]),
    )
    return _where(log, log.second < market.days * DAY)  # the night of the last day is cut at midnight


def expected_visits(market: Market) -> NDArray[np.float64]:
    """(m,) how often each user comes in the window."""
    ordinary, weekend = _days(market)
    remaining = [np.append(np.cumsum(side[::-1])[::-1], 0.0)[market.join_day] for side in (ordinary, weekend)]
    return np.asarray(market.activity * (remaining[0] + remaining[1] * np.exp(market.weekend_taste)))


def _days(market: Market) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rhythm of each day of the window, (days,) for ordinary days (0 at weekends) and for weekends (0 else)."""
    monday_based = (market.start.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    weekday = (monday_based + np.arange(market.days)) % 7
    rhythm = market.weekday_rhythm[weekday]
    return rhythm * (weekday < 5), rhythm * (weekday >= 5)


def _block(
    market: Market, users: NDArray[np.integer], looks_per_visit: float, rng: np.random.Generator
) -> Iterator[Log]:
    """The views, clicks and purchases of some users."""
    place, day, visit, second = _looks(market, users, looks_per_visit, rng)
    item = _chosen(market, users, place, day, rng)
    keep = _fresh(visit, item) & (_fresh(place, item) | (rng.random(len(item)) < LOOKS_AGAIN))
    user, item, second = users[place[keep]].astype(np.int32), item[keep], second[keep]
    views = Log(user=user, item=item, kind=np.zeros(len(user), np.int8), second=second)
    yield views
    clicks = _next(views, expit(market.theta(user, item)), 3, 20, rng)
    yield clicks
    yield _next(clicks, expit(market.purchase_logit(clicks.user, clicks.item)), 60, 900, rng)


def _looks(
    market: Market, users: NDArray[np.integer], looks_per_visit: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each look: place of the user in `users`, day, number of the visit, second since the start."""
    ordinary, weekend = _days(market)
    rate = ordinary + weekend * np.exp(market.weekend_taste[users])[:, None]
    there = np.arange(market.days) >= market.join_day[users][:, None]
    visits = rng.poisson(market.activity[users][:, None] * rate * there)
    cell = np.repeat(np.arange(visits.size), visits.ravel())
    hour = rng.choice(24, size=len(cell), p=np.array(HOURS) / sum(HOURS))
    begin = cell % market.days * DAY + hour * 3_600 + rng.integers(3_600, size=len(cell))
    looks = rng.poisson(looks_per_visit, size=len(cell))
    visit = np.repeat(np.arange(len(cell)), looks)
    gap = 1 + rng.exponential(SECONDS_BETWEEN_LOOKS, size=len(visit)).astype(np.int64)
    passed = np.cumsum(gap)
    first = np.cumsum(looks) - looks
    since = passed - np.concatenate([[0], passed])[first[visit]]
    return cell[visit] // market.days, cell[visit] % market.days, visit, begin[visit] + since


def _chosen(
    market: Market,
    users: NDArray[np.integer],
    place: NDArray[np.int64],
    day: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    """The item of each look, with odds by taste and quality among the items on sale that day."""
    order = np.argsort(market.item_birth_day, kind="stable")  # what is on sale on a day is then a front part
    pull = TASTE_PULL * (market.user_taste[users] @ market.item_taste[order].T)
    pull += QUALITY_PULL * market.item_quality[order]
    odds = np.exp(pull - pull.max(axis=1, keepdims=True), dtype=np.float64)
    reached = np.cumsum(odds, axis=1)
    reached /= reached[:, -1:]
    on_sale = np.searchsorted(market.item_birth_day[order], day, side="right")
    target = rng.random(len(place)) * reached[place, on_sale - 1]
    # one sorted array for all users: row r of `reached` is lifted to (r, r + 1]
    lifted = (reached + np.arange(len(users))[:, None]).ravel()
    drawn = np.searchsorted(lifted, place + target, side="right") - place * len(order)
    return np.asarray(order[np.minimum(drawn, on_sale - 1)], np.int32)


def _fresh(of: NDArray[np.int64], item: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether a look is the first at its item by the same user, or in the same visit."""
    first = np.zeros(len(item), bool)
    first[np.unique(of * (int(item.max(initial=0)) + 1) + item, return_index=True)[1]] = True
    return first


def _next(before: Log, chance: NDArray[np.floating], soonest: int, latest: int, rng: np.random.Generator) -> Log:
    """The next step of the funnel: the rows where it is taken, some seconds later."""
    taken = _where(before, rng.random(len(chance)) < chance)
    later = rng.integers(soonest, latest, size=len(taken.user), endpoint=True)
    return Log(user=taken.user, item=taken.item, kind=taken.kind + np.int8(1), second=taken.second + later)


def _where(log: Log, keep: NDArray[np.bool_]) -> Log:
    return Log(user=log.user[keep], item=log.item[keep], kind=log.kind[keep], second=log.second[keep])

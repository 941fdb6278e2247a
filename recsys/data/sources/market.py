"""The synthetic market: users with tastes, goods with qualities and prices, the log of what they did, and the truth."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from recsys.data.dataset import Dataset, Features
from recsys.data.interactions import Interactions
from recsys.data.parameters import check_keys
from recsys.data.sources.loaded import Loaded
from recsys.data.sources.shoppers import KINDS, shop
from recsys.data.sources.truth import Market
from recsys.data.sources.wording import CATEGORIES, descriptions, titles
from recsys.data.validation import validate
from recsys.data.vocabulary import Vocabulary

__all__ = ["Market", "load"]

N_DIMENSIONS = 16
WEIGHTS = {"view": 1.0, "click": 2.0, "purchase": 5.0}
WEEKDAY_RHYTHM = (1.03, 0.95, 0.96, 0.97, 0.98, 1.02, 1.09)
"""Monday first; the mean is 1."""
ACTIVITY_MEDIAN, ACTIVITY_SPREAD = 0.22, 1.0
"""Visits per day, and the standard deviation of their log as measured on MovieLens (.9 to 1.1)."""
LATE_USERS, LATE_ITEMS = 0.25, 0.05
"""Shares that join, or are born, during the window: the cold ones."""
COUNTRIES = {"GB": 0.35, "DE": 0.25, "FR": 0.2, "NL": 0.12, "IE": 0.08}
AGE_GROUPS = {"18-24": 0.18, "25-34": 0.3, "35-49": 0.3, "50+": 0.22}


def load(
    *,
    n_users: int = 2_000,
    n_items: int = 1_000,
    days: int = 90,
    seed: int = 0,
    interactions_per_user: float = 40.0,
    start: str = "2025-01-06",
    weights: Mapping[str, float] | None = None,
    sigma_0: float = -3.0,
    purchase_intercept: float = -2.5,
) -> Loaded:
    """A market and its log; the same arguments give the same log.

    start, days: the window of the log, whole days UTC; interactions_per_user: looks of the mean user in it;
    most repeated ones are skipped, clicks and purchases come on top, which leaves about as many rows; weights: of the
    kinds view, click and purchase; sigma_0, purchase_intercept: see Market. Users and items that the log does not
    mention are in the vocabularies too.
    """
    for name, value, least in (("n_users", n_users, 1), ("n_items", n_items, 1), ("days", days, 7)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number >= {least}, got {value!r}")
    if not interactions_per_user > 0:
        raise ValueError(f"interactions_per_user must be above 0, got {interactions_per_user!r}")
    kind_weights = WEIGHTS | dict(weights or {})
    check_keys(kind_weights, KINDS, "`weights`")
    item_rng, user_rng, log_rng, words_rng = np.random.default_rng(seed).spawn(4)
    truth = Market(
        **_goods(n_items, days, item_rng),
        **_people(n_users, days, user_rng),
        category_names=CATEGORIES,
        weekday_rhythm=np.array(WEEKDAY_RHYTHM),
        sigma_0=sigma_0,
        purchase_intercept=purchase_intercept,
        start=_day(start),
        days=days,
    )
    log = shop(truth, interactions_per_user, log_rng)
    dataset = Dataset(
        name=f"market-{n_users}x{n_items}",
        interactions=Interactions.of(
            user=log.user,
            item=log.item,
            time=truth.start.astype("datetime64[s]") + log.second.astype("timedelta64[s]"),
            weight=np.array([kind_weights[kind] for kind in KINDS], np.float32)[log.kind],
            kind=log.kind,
            kinds=KINDS,
            n_users=n_users,
            n_items=n_items,
        ),
        users=_vocabulary("u", n_users),
        items=_vocabulary("i", n_items),
        item_features=_item_features(truth, words_rng),
        user_features=_user_features(truth, words_rng),
    )
    return Loaded(dataset=dataset, report=validate(dataset), truth=truth)


def _goods(n: int, days: int, rng: np.random.Generator) -> dict[str, Any]:
    category = rng.integers(len(CATEGORIES), size=n)
    centres = rng.normal(size=(len(CATEGORIES), N_DIMENSIONS))
    taste = (0.7 * centres[category] + 0.7 * rng.normal(size=(n, N_DIMENSIONS))) / np.sqrt(N_DIMENSIONS)
    birth = rng.integers(1, days, size=n) * (rng.random(n) < LATE_ITEMS)
    birth[rng.integers(n)] = 0  # a shop never opens empty
    return {
        "item_taste": taste.astype(np.float32),
        "item_quality": rng.normal(0.0, 0.9, n).astype(np.float32),
        "price": np.maximum(rng.lognormal(np.log(15.0), 0.6, n).round(1) - 0.01, 0.99).round(2),  # 12.39
        "category": category.astype(np.int32),
        "item_birth_day": birth.astype(np.int32),
    }


def _people(n: int, days: int, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "user_taste": (1.1 * rng.normal(size=(n, N_DIMENSIONS))).astype(np.float32),
        "user_bias": rng.normal(0.0, 0.6, n).astype(np.float32),
        "price_sensitivity": rng.lognormal(np.log(0.4), 0.3, n).astype(np.float32),
        "activity": rng.lognormal(np.log(ACTIVITY_MEDIAN), ACTIVITY_SPREAD, n),
        "weekend_taste": rng.normal(0.0, 0.15, n).astype(np.float32),
        "join_day": (rng.integers(1, days, size=n) * (rng.random(n) < LATE_USERS)).astype(np.int32),
        "mobile": rng.random(n) < 0.6,
    }


def _item_features(truth: Market, rng: np.random.Generator) -> Features:
    named = titles(truth.category, rng)
    return {
        "title": np.array(named, dtype=object),
        "text": np.array(descriptions(named, truth.category, truth.item_taste), dtype=object),
        "category": np.array([CATEGORIES[place] for place in truth.category], dtype=object),
        "price": truth.price.copy(),
    }


def _user_features(truth: Market, rng: np.random.Generator) -> Features:
    """What a shop knows of its users; `member` is more likely for those who come often."""
    n = len(truth.activity)
    member = rng.random(n) < np.minimum(truth.activity, 0.9)
    return {
        "device": np.where(truth.mobile, "mobile", "desktop").astype(object),
        "country": rng.choice(list(COUNTRIES), size=n, p=list(COUNTRIES.values())).astype(object),
        "age_group": rng.choice(list(AGE_GROUPS), size=n, p=list(AGE_GROUPS.values())).astype(object),
        "segment": np.where(member, "member", "guest").astype(object),
    }


def _vocabulary(prefix: str, n: int) -> Vocabulary:
    """Ids whose order as text is their order as numbers: u0001, u0002 ..."""
    width = len(str(n))
    return Vocabulary(np.array([f"{prefix}{number:0{width}}" for number in range(1, n + 1)], dtype=np.str_))


def _day(start: str) -> np.datetime64:
    try:
        return np.datetime64(str(start), "D")
    except ValueError:
        raise ValueError(f'start must be a day such as "2025-01-06", got {start!r}') from None

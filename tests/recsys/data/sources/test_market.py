from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from recsys.data.interactions import Interactions
from recsys.data.sources.loaded import Loaded
from recsys.data.sources.loader import load
from recsys.data.sources.market import Market
from recsys.data.sources.shoppers import QUALITY_PULL, TASTE_PULL, expected_visits
from recsys.data.split import temporal

VIEW, CLICK, PURCHASE = 0, 1, 2


@pytest.fixture(scope="module")
def market() -> Loaded:
    return load("market", seed=7)


@pytest.fixture(scope="module")
def truth(market: Loaded) -> Market:
    assert market.truth is not None
    return market.truth


@pytest.fixture(scope="module")
def log(market: Loaded) -> Interactions:
    return market.dataset.interactions


def test_the_default_market_is_complete(market: Loaded, truth: Market, log: Interactions) -> None:
    data = market.dataset
    assert (len(data.users), len(data.items)) == (2_000, 1_000)
    assert 70_000 < len(log) < 90_000
    assert data.users.ids[[0, -1]].tolist() == ["u0001", "u2000"]
    assert (str(log.time[0])[:10], str(log.time[-1])[:10]) == ("2025-01-06", "2025-04-05")
    assert log.kinds == ("view", "click", "purchase")
    assert len(set(data.item_features["title"])) == 1_000
    assert (data.item_features["price"] == truth.price).all()
    assert set(data.user_features) == {"device", "country", "age_group", "segment"}


def test_the_same_seed_gives_the_same_market_and_another_one_another() -> None:
    size: dict[str, Any] = {"n_users": 60, "n_items": 30, "days": 20}
    one, same, other = (load("market", seed=seed, **size) for seed in (1, 1, 2))
    assert one.dataset.fingerprint == same.dataset.fingerprint != other.dataset.fingerprint
    assert one.truth is not None
    assert same.truth is not None
    assert (one.truth.user_taste == same.truth.user_taste).all()


def test_nobody_acts_before_joining_and_nothing_sells_before_its_birth(truth: Market, log: Interactions) -> None:
    day = (log.time - truth.start) // np.timedelta64(86_400, "s")
    assert (day >= truth.join_day[log.user]).all()
    # a click or purchase may follow its view over midnight, never the other way round
    assert (day >= truth.item_birth_day[log.item]).all()
    assert 0.2 < (truth.join_day > 0).mean() < 0.3
    assert 0.03 < (truth.item_birth_day > 0).mean() < 0.07


def test_every_click_follows_a_view_and_every_purchase_a_click(log: Interactions) -> None:
    pair = log.user.astype(np.int64) * log.n_items + log.item
    assert np.isin(pair[log.kind == CLICK], pair[log.kind == VIEW]).all()
    assert np.isin(pair[log.kind == PURCHASE], pair[log.kind == CLICK]).all()


def test_clicks_and_purchases_come_at_their_true_rates(truth: Market, log: Interactions) -> None:
    view, click = log.kind == VIEW, log.kind == CLICK
    for before, after, logit in (
        (view, CLICK, truth.theta(log.user[view], log.item[view])),
        (click, PURCHASE, truth.purchase_logit(log.user[click], log.item[click])),
    ):
        chance = expit(logit)
        expected, spread = chance.sum(), np.sqrt((chance * (1 - chance)).sum())
        assert before.sum() == len(chance)
        assert abs((log.kind == after).sum() - expected) < 4 * spread


def test_users_come_as_often_as_their_activity_says() -> None:
    # every look counts: 400 users, each with far more than one look a visit, so that a visit is hardly ever silent
    market = load("market", n_users=400, n_items=2_000, days=28, seed=3, interactions_per_user=80)
    assert market.truth is not None
    views = market.dataset.interactions
    mean = np.bincount(views.user[views.kind == VIEW], minlength=400)
    assert np.corrcoef(mean, expected_visits(market.truth))[0, 1] > 0.9


def test_expected_visits_by_hand(truth: Market) -> None:
    rhythm = np.resize(truth.weekday_rhythm, truth.days)  # 2025-01-06 was a Monday
    for user in (0, int(truth.join_day.argmax())):
        days = range(truth.join_day[user], truth.days)
        weekend = np.exp(truth.weekend_taste[user])
        by_hand = sum(rhythm[day] * (weekend if day % 7 >= 5 else 1.0) for day in days) * truth.activity[user]
        assert expected_visits(truth)[user] == pytest.approx(by_hand)


def test_popularity_and_activity_have_the_tails_of_real_logs(log: Interactions) -> None:
    popularity = np.sort(np.bincount(log.item, minlength=log.n_items))[::-1]
    rank = np.arange(1, 301)  # .1 to 30% of the catalogue
    slope = -np.polyfit(np.log(rank), np.log(popularity[:300]), 1)[0]
    assert 0.5 < slope < 0.84
    activity = np.sort(np.bincount(log.user, minlength=log.n_users))[::-1]
    assert 0.32 < activity[:200].sum() / activity.sum() < 0.48


def ndcg_10(scores: NDArray[Any], seen: NDArray[np.bool_], relevant: NDArray[np.bool_]) -> float:
    users = relevant.any(axis=1)
    ranked = np.where(seen, -np.inf, scores)[users]
    top = np.argsort(-ranked, axis=1, kind="stable")[:, :10]
    discount = 1 / np.log2(np.arange(2, 12))
    gain = (np.take_along_axis(relevant[users], top, axis=1) * discount).sum(axis=1)
    ideal = np.cumsum(discount)[np.minimum(relevant[users].sum(axis=1), 10) - 1]
    return float((gain / ideal).mean())


def test_taste_can_be_learnt_from_the_log(market: Loaded, truth: Market) -> None:
    """Truth far above neighbours, neighbours far above popularity: the order every later comparison relies on."""
    cut = temporal(market.dataset, validation="7d", test="14d")
    seen, future = (part.interactions.csr().toarray() > 0 for part in (cut.refit(), cut.test))
    popularity = seen.sum(axis=0)
    cosine = (seen.T.astype(np.float32) @ seen) / np.sqrt(np.outer(popularity, popularity).clip(min=1))
    np.fill_diagonal(cosine, 0)
    nearest = np.where(cosine >= np.sort(cosine, axis=0)[-100], cosine, 0)
    pull = TASTE_PULL * truth.user_taste @ truth.item_taste.T + QUALITY_PULL * truth.item_quality
    by_popularity, by_neighbours, by_truth = (
        ndcg_10(scores, seen, future & ~seen)
        for scores in (np.tile(popularity, (len(seen), 1)), seen.astype(np.float32) @ nearest, pull)
    )
    assert by_neighbours > 1.4 * by_popularity
    assert by_truth > 1.8 * by_neighbours


def test_texts_tell_of_taste(market: Loaded, truth: Market) -> None:
    """Items that share all their adjectives are much closer in taste than others."""
    adjectives = [text.split(": a ")[1].split(" choice")[0] for text in market.dataset.item_features["text"]]
    _, group = np.unique(adjectives, return_inverse=True)
    same = np.triu(group[:, None] == group, k=1)
    unit = truth.item_taste / np.linalg.norm(truth.item_taste, axis=1, keepdims=True)
    assert (unit @ unit.T)[same].mean() > 0.5


def test_the_smallest_market_stands() -> None:
    tiny = load("market", n_users=1, n_items=1, days=7, interactions_per_user=5)
    assert (len(tiny.dataset.users), len(tiny.dataset.items)) == (1, 1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_users": 0}, "n_users must be a whole number >= 1, got 0"),
        ({"days": 3}, "days must be a whole number >= 7, got 3"),
        ({"interactions_per_user": 0}, "interactions_per_user must be above 0"),
        ({"start": "someday"}, 'start must be a day such as "2025-01-06"'),
        (
            {"weights": {"like": 2}},
            "`weights` has no parameter 'like'; did you mean 'click'. it has: view, click, purchase",
        ),
        ({"n_user": 5}, "source 'market' has no parameter 'n_user'; did you mean 'n_users'"),
    ],
)
def test_what_no_market_can_be_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load("market", **params)

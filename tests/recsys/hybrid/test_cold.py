"""Progressive: whom each stage serves, and new items that find their users by their content alone."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.hybrid.cold import Progressive
from recsys.hybrid.content_map import place_new_items, ridge_map
from recsys.models.content import Content
from recsys.models.ials import IALS
from recsys.models.popularity import Popularity
from recsys.models.pure_svd import PureSVD
from recsys.recommend import recommend
from tests.worlds import dataset, random_market

SMALL: dict[str, Any] = {"collaborative": {"model": "ials", "params": {"factors": 4}}}


def ask(data: Dataset, users: Any) -> Queries:
    return Queries.of(data.interactions, np.asarray(users))


@pytest.fixture(scope="module")
def tastes() -> tuple[Dataset, NDArray[np.float64]]:
    """(a world before anybody saw items 0..9, affinity (n_users, n_items)); the items' vectors tell the taste."""
    rng = np.random.default_rng(5)
    user, item = rng.normal(size=(120, 3)), rng.normal(size=(60, 3))
    affinity = user @ item.T
    pairs = np.argwhere(affinity > 1.0)
    data = dataset(pairs[rng.permutation(len(pairs))], n_users=120, n_items=60)
    seen_by_all = np.hstack([item, rng.normal(size=(60, 3))]) + 0.1 * rng.normal(size=(60, 6))
    data = dataclasses.replace(data, item_features={"image": seen_by_all.astype(np.float32)})
    rows = data.interactions
    return data.keep(rows.where(rows.item >= 10)), affinity


def test_weights_by_hand() -> None:
    model = Progressive(first_clicks=2.0, grown=4.0)
    weights = model.weights(np.array([0, 2, 4, 10**9]))
    np.testing.assert_allclose(weights[0], [1, 0, 0])
    np.testing.assert_allclose(weights[1], [1 / 2, 1 / 2 * 2 / 3, 1 / 2 * 1 / 3])
    np.testing.assert_allclose(weights[2], [1 / 3, 2 / 3 * 1 / 2, 2 / 3 * 1 / 2])
    np.testing.assert_allclose(weights[3], [0, 0, 1], atol=1e-8)
    np.testing.assert_allclose(weights.sum(axis=1), 1)


@pytest.mark.parametrize("steepness", [0.5, 1.0, 4.0])
def test_the_longer_the_history_the_less_popularity_and_the_more_collaboration(steepness: float) -> None:
    weights = Progressive(first_clicks=2.0, grown=4.0, steepness=steepness).weights(np.arange(200))
    assert (np.diff(weights[:, 0]) < 0).all()
    assert (np.diff(weights[:, 2]) > 0).all()
    without = Progressive(content=None, first_clicks=2.0, steepness=steepness).weights(np.arange(200))
    np.testing.assert_array_equal(without[:, 1], 0)
    np.testing.assert_array_equal(without[:, 0], weights[:, 0])


def test_a_newcomer_gets_the_popular_list_and_an_old_hand_the_collaborative_one(rng: np.random.Generator) -> None:
    data = random_market(rng, 40, 25, 400)
    popular, collaborative = Popularity().fit(data), IALS(factors=4).fit(data)
    model = Progressive(**SMALL, first_clicks=1e-9, grown=1e-9, map_penalty=None).fit(data)
    nobody, everybody = ask(data, [-1]), ask(data, np.unique(data.interactions.user))
    assert np.array_equal(recommend(model, nobody, 5).items, recommend(popular, nobody, 5).items)
    assert np.array_equal(recommend(model, everybody, 5).items, recommend(collaborative, everybody, 5).items)


def test_the_second_after_the_first_click_the_list_is_another(rng: np.random.Generator) -> None:
    data = random_market(rng, 40, 25, 400)
    model = Progressive(**SMALL).fit(data)
    clicked = Queries.of(dataset([(0, 7)], n_users=1, n_items=25).interactions, np.array([0]))
    before, after = recommend(model, ask(data, [-1]), 5), recommend(model, clicked, 5)
    assert not np.array_equal(before.items, after.items)
    assert 7 not in after.items


def test_ridge_map_is_that_of_scikit_learn(rng: np.random.Generator) -> None:
    content, factors = rng.normal(size=(40, 6)), rng.normal(size=(40, 3)) + 2
    matrix, intercept = ridge_map(content, factors, 0.7)
    oracle = Ridge(alpha=0.7).fit(content, factors)
    np.testing.assert_allclose(matrix, oracle.coef_.T, rtol=1e-8)
    np.testing.assert_allclose(intercept, oracle.intercept_, rtol=1e-8)


@pytest.mark.parametrize("model", [IALS(factors=4), PureSVD(factors=4)], ids=["ials", "pure_svd"])
def test_new_items_find_their_users_among_the_factors(
    model: IALS | PureSVD, tastes: tuple[Dataset, NDArray[np.float64]]
) -> None:
    past, affinity = tastes
    fresh = type(model)(factors=4).fit(past)
    users = np.arange(120)[np.bincount(past.interactions.user, minlength=120) > 2]
    before = fresh.score(ask(past, users)).copy()
    assert np.isnan(before[:, :10]).all()
    vectors = Content().fit(past).state()["item_vectors"]
    placed = place_new_items(fresh, vectors, 1.0)
    assert placed is not None
    assert np.array_equal(placed, past.interactions.item_users == 0)
    after = fresh.score(ask(past, users))
    np.testing.assert_array_equal(after[:, ~placed], before[:, ~placed])  # what is known stays
    hits = []
    for item in range(10):
        fans, others = affinity[users, item] > 1.0, affinity[users, item] < 0.0
        hits.append((after[fans, item][:, None] > after[others, item]).mean())
    assert np.mean(hits) > 0.85  # the chance that a fan scores the new item higher than somebody who dislikes it


def test_new_items_stand_in_the_lists_of_those_who_will_like_them(
    tastes: tuple[Dataset, NDArray[np.float64]],
) -> None:
    past, affinity = tastes
    users = np.arange(120)[np.bincount(past.interactions.user, minlength=120) > 2]
    # depth 20: a new item that nothing speaks for is in no list
    parts: dict[str, Any] = {"first_clicks": 0.1, "grown": 0.1, "depth": 20}
    shown = {}
    for penalty in (None, 1.0):
        model = Progressive(**SMALL, **parts, map_penalty=penalty).fit(past)
        lists = recommend(model, ask(past, users), 10)
        row, place = np.nonzero((lists.items >= 0) & (lists.items < 10))
        shown[penalty] = affinity[users[row], lists.items[row, place]]
    assert (shown[1.0] > 0.5).sum() > 1.5 * (shown[None] > 0.5).sum()
    assert (shown[1.0] > 0).mean() > 0.9


def test_models_without_factors_are_left_as_they_are(
    tastes: tuple[Dataset, NDArray[np.float64]],
) -> None:
    past, _ = tastes
    popular = Popularity().fit(past)
    assert place_new_items(popular, np.ones((60, 2)), 1.0) is None
    params: dict[str, Any] = {"collaborative": {"model": "item_knn"}}
    assert recommend(Progressive(**params).fit(past), ask(past, [0]), 5).items.shape == (1, 5)


def test_data_without_item_features_need_no_content_stage(rng: np.random.Generator) -> None:
    bare = dataclasses.replace(random_market(rng), item_features={})
    with pytest.raises(ValueError, match=r"has no item features.*content: null"):
        Progressive(**SMALL).fit(bare)
    lists = recommend(Progressive(**SMALL, content=None).fit(bare), ask(bare, [0, -1]), 5)
    assert (lists.items >= 0).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"popular": "popularity"}, "popular of 'progressive' is"),
        ({"collaborative": {"model": "ialss"}}, "did you mean 'ials'"),
        ({"collaborative": {"model": "ials", "parms": {}}}, "collaborative of 'progressive' is"),
        ({"first_clicks": 0}, "first_clicks must be a finite number > 0"),
        ({"blend": "scores"}, "blend must be one of"),
        ({"map_penalty": 0}, "map_penalty must be a finite number > 0"),
    ],
)
def test_what_cannot_be_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, LookupError), match=message):
        Progressive(**params)

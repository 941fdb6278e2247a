"""Reasons are true: the item that is named drives the score, and the numbers that are given are those of the log."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.hybrid.explain import Explainer, Reason, slates
from recsys.hybrid.influence import leave_one_out, shortened
from recsys.models.base import Recommender, create
from recsys.models.ease import EASE
from recsys.models.item_knn import ItemKNN
from recsys.models.popularity import Popularity
from recsys.recommend import recommend
from tests.worlds import dataset, random_market

MODELS: dict[str, dict[str, Any]] = {
    "item_knn": {},
    "ease": {},
    "ials": {"factors": 6},
    "content": {},
    "rp3beta": {},
    "fusion": {"parts": [{"model": "item_knn"}, {"model": "popularity"}]},
    "pipeline": {
        "candidates": [{"model": "item_knn"}, {"model": "popularity"}],
        "features": ["origins"],
        "ranker": {"n_trees": 20, "min_leaf": 2, "learning_rate": 0.2},
        "learn_from": {"size": 0.3},
    },
    "progressive": {"collaborative": {"model": "ials", "params": {"factors": 6}}},
}


def ask(data: Dataset, users: Any) -> Queries:
    return Queries.of(data.interactions, np.asarray(users))


@pytest.fixture
def twins() -> Dataset:
    """40 users, 10 pairs of items 2j and 2j + 1 that go together, three pairs each; users below 20 lack the second of
    one of their pairs."""
    rng = np.random.default_rng(3)
    chosen = np.array([rng.permutation(10)[:3] for _ in range(40)])
    pairs = [
        (user, 2 * pair + twin)
        for user in range(40)
        for n, pair in enumerate(chosen[user].tolist())
        for twin in (0, 1)
        if not (twin == 1 and n == user % 3 and user < 20)
    ]
    return dataset(pairs, n_users=40, n_items=20, name="twins")


@pytest.mark.parametrize("name", ["item_knn", "ease", "ials"])
def test_the_twin_is_named(name: str, twins: Dataset) -> None:
    has = twins.interactions.csr().toarray()[:20] > 0
    lacking = np.argmax(has[:, ::2] & ~has[:, 1::2], axis=1) * 2 + 1
    lists = Recommendations(
        queries=ask(twins, np.arange(20)),
        items=lacking[:, None].astype(np.int32),
        scores=np.ones((20, 1), np.float32),
        model="the twins that are lacking",
    )
    model = create(name, **MODELS[name]).fit(twins)
    reasons = [row[0] for row in Explainer().fit(twins).explain(model, lists)]
    assert [reason.because for reason in reasons] == (lacking - 1).tolist()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_without_the_named_item_the_score_falls_and_without_no_other_further(
    name: str, rng: np.random.Generator
) -> None:
    data = random_market(rng, 30, 20, 300)
    model = create(name, **MODELS[name]).fit(data)
    users = np.arange(12)
    lists = recommend(model, ask(data, users), 4)
    named = 0
    for user, row in zip(users, Explainer(least=0.0).fit(data).explain(model, lists), strict=True):
        for reason in row:
            assert reason.score == pytest.approx(score(model, data, user, reason.item), rel=1e-5)
            if reason.kind != "history":
                continue
            named += 1
            own = np.unique(data.interactions.item[data.interactions.user == user])
            falls = {
                int(item): fall(reason.score, score(model, data, user, reason.item, without=int(item))) for item in own
            }
            assert falls[reason.because] > 0
            assert falls[reason.because] == pytest.approx(max(falls.values()), rel=1e-3)
            assert fall(reason.score, reason.score_without) == pytest.approx(falls[reason.because], rel=1e-3)
    assert named > 5


def score(model: Recommender, data: Dataset, user: int, item: int, without: int = -1) -> float:
    """The score, asked of the model with a log from which the item is gone for this user."""
    rows = data.interactions
    rest = rows.where(~((rows.user == user) & (rows.item == without)))
    return float(model.score(Queries.of(rest, np.array([user])))[0, item])


def fall(whole: float, without: float) -> float:
    return np.inf if np.isnan(without) else whole - without


def test_a_model_that_does_not_read_the_history_never_names_it(rng: np.random.Generator) -> None:
    data = random_market(rng)
    model = Popularity().fit(data)
    reasons = Explainer(least=0.0).fit(data).explain(model, recommend(model, ask(data, np.arange(10)), 5))
    assert {reason.because for row in reasons for reason in row} == {-1}


def test_what_was_not_liked_is_not_named(twins: Dataset) -> None:
    weights = np.where(twins.interactions.user == 0, -1.0, 1.0).astype(np.float32)
    data = twins.keep(dataclasses.replace(twins.interactions, weight=weights))
    influence = leave_one_out(Popularity().fit(data), ask(data, [0]), np.array([1, 2]))
    assert influence.history.tolist() == []


def test_the_latest_are_tried_first_and_all_rows_of_an_item_go_together() -> None:
    data = dataset([(0, 3), (0, 5), (0, 3), (0, 4)], n_users=1, n_items=6)
    query = dataclasses.replace(ask(data, [0]), context={"device": np.array(["phone"])})
    influence = leave_one_out(ItemKNN().fit(data), query, np.array([1]), latest=2)
    assert influence.history.tolist() == [4, 3]
    parts = shortened(query, np.array([4, 3]))
    assert parts.items.tolist() == [3, 5, 3, 5, 4]
    assert parts.indptr.tolist() == [0, 3, 5]
    assert parts.times[parts.indptr[1] :].tolist() == query.times[[1, 3]].tolist()
    assert parts.context["device"].tolist() == ["phone", "phone"]


@pytest.fixture
def week() -> Dataset:
    """Ten users over 30 days. Item 0: all of them every week; 1: eight of them in the last week, one long ago; 2: born
    yesterday; 3: nobody; 4..9: one person, long ago."""
    rows = [(u, 0, day) for u in range(10) for day in (3.0, 10.0, 17.0, 25.0)]
    rows += [(0, 1, 2.0)] + [(u, 1, 28.0) for u in range(8)] + [(9, 2, 29.5)]
    rows += [(9, i, 1.0) for i in range(4, 10)]
    data = dataset([(u, i) for u, i, _ in rows], n_users=10, n_items=10, days=[day for *_, day in rows])
    return dataclasses.replace(
        data,
        item_features={
            "title": np.array([f"Item {i}" for i in range(10)], dtype=object),
            "brand": np.array(["Acme" if i in (2, 5) else "" for i in range(10)], dtype=object),
        },
        user_features={"town": np.array(["Ulm"] * 5 + ["Bonn"] * 4 + [""], dtype=object)},
    )


def reasons_for(data: Dataset, user: int, items: list[int], **params: Any) -> list[Reason]:
    lists = Recommendations(
        queries=ask(data, [user]),
        items=np.array([items], np.int32),
        scores=np.ones((1, len(items)), np.float32),
        model="written down",
    )
    return Explainer(**params).fit(data).explain(Popularity().fit(data), lists)[0]


def test_what_the_log_says_of_an_item(week: Dataset) -> None:
    found = reasons_for(week, -1, [0, 1, 2, 3, 5], top=0.2)
    assert [reason.kind for reason in found] == ["popular", "trending", "new", "new", "none"]
    assert found[0].words == "popular: 10 people in 7 days"
    # one person in the three weeks before the last one
    assert found[1].words == "trending: 8 people in 7 days, usually 0.3"
    assert found[0].evidence == 10
    assert found[1].evidence == 8
    assert found[2].evidence == 0
    assert np.isnan(found[3].evidence)


def test_what_is_popular_where_somebody_is(week: Dataset) -> None:
    params: dict[str, Any] = {"near": "town", "top": 0.2}
    assert reasons_for(week, 3, [0], **params)[0].words == "popular in Ulm: 5 people in 7 days"
    assert reasons_for(week, 9, [0], **params)[0].words == "popular: 10 people in 7 days"  # nobody knows where he is
    assert reasons_for(week, -1, [0], **params)[0].kind == "popular"


def test_the_context_says_where_somebody_is(week: Dataset) -> None:
    explainer = Explainer(near="town", top=0.2).fit(week)
    query = dataclasses.replace(ask(week, [5, -1, 3]), context={"town": np.array(["Ulm", "Ulm", "Rome"], dtype=object)})
    lists = Recommendations(
        queries=query, items=np.zeros((3, 1), np.int32), scores=np.ones((3, 1), np.float32), model="written down"
    )
    words = [row[0].words for row in explainer.explain(Popularity().fit(week), lists)]
    assert words == ["popular in Ulm: 5 people in 7 days"] * 3  # a town that nobody is from says nothing


def test_what_is_new_from_a_brand_that_was_liked(week: Dataset) -> None:
    assert reasons_for(week, 9, [2])[0].words == "new from Acme, which you liked before"
    assert reasons_for(week, 1, [2])[0].words == "new"


def test_a_log_too_short_to_know_what_is_usual_knows_no_trend(week: Dataset) -> None:
    assert reasons_for(week, -1, [1], days=20.0, top=0.2)[0].kind == "popular"


def test_the_slate_as_text(twins: Dataset) -> None:
    model = EASE().fit(twins)
    text = slates(Explainer(verb="read").fit(twins), model, recommend(model, ask(twins, [0, -1]), 2))
    first, second = text.split("\n\n")
    assert first.startswith("read last: i0")
    assert "because you read i0" in first
    assert "[score " in first
    assert second == "read last: nothing yet"


def test_what_cannot_be_is_refused(week: Dataset) -> None:
    with pytest.raises(ValueError, match="least must be"):
        Explainer(least=2)
    with pytest.raises(LookupError, match="unknown user feature 'city'; known: town"):
        Explainer(near="city").fit(week)
    with pytest.raises(LookupError, match="unknown item feature 'colour'"):
        Explainer(labels=["colour"]).fit(week)
    with pytest.raises(RuntimeError, match="not fitted"):
        Explainer().explain(Popularity().fit(week), recommend(Popularity().fit(week), ask(week, [0]), 1))
    with pytest.raises(ValueError, match="one query at a time, got 2"):
        leave_one_out(Popularity().fit(week), ask(week, [0, 1]), np.array([1]))
    with pytest.raises(ValueError, match="nothing to give as a reason"):
        Explainer().fit(week.keep(week.interactions.where(week.interactions.user < 0)))

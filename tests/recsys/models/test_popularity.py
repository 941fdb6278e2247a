"""Popularity, counted by hand."""

import dataclasses

import numpy as np
import pytest

from recsys.data.queries import Queries
from recsys.models.popularity import Popularity
from tests.worlds import dataset

# (user, item) on day: user 0 touched item 0 twice; the newest row is on day 10
PAIRS = [(0, 0), (0, 0), (1, 0), (1, 1), (2, 2)]
DAYS = [0, 4, 6, 8, 10]


def scores(model: Popularity) -> list[float]:
    data = dataset(PAIRS, n_users=3, n_items=4, days=DAYS)
    values: list[float] = model.fit(data).score(Queries.of(data.interactions, np.array([0])))[0].tolist()
    return values


def test_distinct_users_are_counted_once() -> None:
    assert scores(Popularity()) == [2, 1, 1, 0]


def test_window_keeps_only_the_last_days() -> None:
    assert scores(Popularity(window_days=3)) == [0, 1, 1, 0]
    assert scores(Popularity(window_days=6.5)) == [2, 1, 1, 0]  # days 4, 6, 8, 10


def test_half_life_weighs_each_user_by_the_latest_touch() -> None:
    # item 0: users at ages 6 and 4 days; item 1: age 2; item 2: age 0
    assert scores(Popularity(half_life_days=2)) == [0.5**3 + 0.5**2, 0.5, 1, 0]


def test_all_queries_share_the_memory_of_one_row() -> None:
    data = dataset(PAIRS, n_users=3, n_items=4, days=DAYS)
    assert Popularity().fit(data).score(Queries.of(data.interactions, np.arange(3))).strides[0] == 0


@pytest.mark.parametrize("days", [0, -1, float("nan"), float("inf"), "7", True])
def test_windows_that_make_no_sense_are_refused(days: float) -> None:
    with pytest.raises(ValueError, match="window_days must be a finite number > 0"):
        Popularity(window_days=days)
    with pytest.raises(ValueError, match="half_life_days must be a finite number > 0"):
        Popularity(half_life_days=days)


def in_segments(values: list[object], users: list[int], prior: float) -> list[list[float]]:
    data = dataset([(0, 0), (1, 0), (2, 1), (3, 2)], n_users=len(values), n_items=4)
    data = dataclasses.replace(data, user_features={"country": np.array(values, dtype=object)})
    model = Popularity(segment="country", prior=prior).fit(data)
    answer: list[list[float]] = model.score(Queries.of(data.interactions, np.array(users))).tolist()
    return answer


def test_a_segment_counts_its_own_users() -> None:
    counts = in_segments(["fr", "de", "fr", "de"], [0, 1, 2], prior=0)
    assert counts == [[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]]


def test_the_prior_mixes_everybody_in() -> None:
    assert in_segments(["fr", "de", "fr", "de"], [0], prior=4) == [[1 + 2, 1 + 1, 1, 0]]


def test_anonymous_users_and_those_without_a_value_get_everybodys_counts() -> None:
    counts = in_segments(["fr", None, float("nan"), ""], [-1, 1, 2, 3], prior=5)
    assert counts == [[2, 1, 1, 0]] * 4


def test_the_context_of_a_query_names_its_segment_whoever_asks() -> None:
    countries = np.array(["fr", "de", ""], dtype=object)
    data = dataclasses.replace(dataset(PAIRS, n_users=3, n_items=4), user_features={"country": countries})
    model = Popularity(segment="country", prior=0).fit(data)
    asked = Queries.of(data.interactions, np.array([-1, -1, 0, 0, 0]))
    told = dataclasses.replace(asked, context={"country": np.array(["fr", "xx", "de", None, ""], dtype=object)})
    of_segment = {
        n: model.score(Queries.of(data.interactions, np.array([u]))).tolist()[0] for n, u in (("fr", 0), ("de", 1))
    }
    everybody = model.score(Queries.of(data.interactions, np.array([-1]))).tolist()[0]
    assert of_segment["fr"] != of_segment["de"]
    expected = [of_segment["fr"], everybody, of_segment["de"], of_segment["fr"], of_segment["fr"]]
    assert model.score(told).tolist() == expected
    # a model saved before the context was read
    older = {name: array for name, array in model.state().items() if name != "segment_names"}
    restored = Popularity(segment="country", prior=0).restore(older)
    assert restored.score(told).tolist() == model.score(asked).tolist()


def test_a_user_beyond_the_training_gets_everybodys_counts() -> None:
    data = dataclasses.replace(dataset(PAIRS, n_users=3, n_items=4), user_features={"x": np.array(["a", "a", "b"])})
    model = Popularity(segment="x").fit(data)
    later = Queries.of(dataset([(5, 0)], n_users=6, n_items=4).interactions, np.array([5]))
    assert model.score(later).tolist() == [[2, 1, 1, 0]]


def test_a_feature_that_makes_no_segments_is_refused() -> None:
    data = dataset(PAIRS, n_users=3, n_items=4)
    with pytest.raises(ValueError, match="'tiny' has no user feature 'age' to make segments of; it has: parity"):
        Popularity(segment="age").fit(data)
    many = dataset([(0, 0)], n_users=1001, n_items=1)
    many = dataclasses.replace(many, user_features={"age": np.arange(1001.0)})
    with pytest.raises(ValueError, match="user feature 'age' has 1,001 values, at most 1,000 are segments"):
        Popularity(segment="age").fit(many)

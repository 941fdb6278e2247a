"""Trending: surges are found, seasons are not."""

import math

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.popularity import Popularity
from recsys.models.trending import Trending
from tests.worlds import dataset


def trend(model: Trending, data: Dataset) -> list[float]:
    scores = model.fit(data).score(Queries.of(data.interactions, np.array([0])))
    return [float(score) for score in scores[0]]


def log(rates: list[list[int]]) -> Dataset:
    """rates[item][day] touches, each of another user."""
    rows = [(item, day) for item, by_day in enumerate(rates) for day, n in enumerate(by_day) for _ in range(n)]
    pairs = [(user, item) for user, (item, _) in enumerate(rows)]
    return dataset(pairs, n_users=len(rows), n_items=len(rates), days=[day for _, day in rows])


def test_a_steady_item_is_no_trend_a_rising_one_is_and_a_falling_one_is_the_opposite() -> None:
    steady, rising, falling = trend(Trending(), log([[2] * 60, [1] * 53 + [5] * 7, [3] * 53 + [0] * 7]))
    assert steady == pytest.approx(0, abs=1e-5)
    assert rising > 1.5
    assert falling < -1.5


def test_score_by_hand() -> None:
    # one touch now, two a day ago; half-lives of one and two days
    data = dataset([(0, 0), (1, 0), (2, 0)], n_users=3, n_items=1, days=[0, 0, 1])
    recent, usual = 1 + 2 * 0.5, 1 + 2 * 0.5**0.5
    expected = usual * (1 + 0.5) / (1 + 0.5**0.5)
    score = (recent - expected) / math.sqrt(expected + 3)
    assert trend(Trending(1, 2, 3), data) == [pytest.approx(score, rel=1e-5)]


def test_a_busy_weekday_is_a_season_not_a_trend() -> None:
    # the log ends on the day of the week on which the first item is ten times as busy
    weekly, steady = [1, 1, 1, 1, 1, 1, 10] * 8, [2] * 56
    plain = trend(Trending(half_life_days=1, seasonal=False), log([weekly, steady]))
    corrected = trend(Trending(half_life_days=1), log([weekly, steady]))
    assert plain[0] > 1
    np.testing.assert_allclose(corrected, 0, atol=1e-5)


def test_more_than_the_usual_on_a_busy_weekday_is_a_trend() -> None:
    assert trend(Trending(half_life_days=1), log([[1, 1, 1, 1, 1, 1, 10] * 8 + [1, 1, 1, 1, 1, 1, 30]]))[0] > 1


def test_with_less_than_two_weeks_all_weekdays_are_alike() -> None:
    data = log([[1, 1, 1, 1, 1, 1, 10]])
    assert trend(Trending(), data) == trend(Trending(seasonal=False), data)


def test_without_a_baseline_it_is_popularity_with_a_half_life() -> None:
    data = log([[2] * 60, [1] * 53 + [5] * 7, [9] * 30 + [0] * 30, [0] * 58 + [4] * 2])
    level = trend(Trending(half_life_days=10, smoothing=1e9, baseline=0, seasonal=False), data)
    days = Queries.of(data.interactions, np.array([0]))
    popularity = Popularity(half_life_days=10).fit(data).score(days)[0].astype(float)
    np.testing.assert_allclose(np.array(level) / level[0], popularity / popularity[0], rtol=1e-4)


def test_a_baseline_in_between_weighs_level_and_surge() -> None:
    surge, half, level = (
        trend(Trending(smoothing=1e4, baseline=baseline), log([[20] * 60, [0] * 53 + [5] * 7]))
        for baseline in (1, 0.5, 0)
    )
    assert surge[0] < surge[1]
    assert level[0] > level[1]
    np.testing.assert_allclose(half, (np.array(surge) + level) / 2, rtol=1e-5)


def test_a_user_counts_once_a_day() -> None:
    once = dataset([(0, 0), (1, 0)], n_users=2, n_items=1, days=[0, 3])
    often = dataset([(0, 0), (1, 0), (1, 0), (1, 0)], n_users=2, n_items=1, days=[0, 3, 3, 3])
    assert trend(Trending(), often) == trend(Trending(), once)


def test_an_item_nobody_likes_is_below_one_that_falls() -> None:
    data = dataset([(0, 0), (0, 1)], n_users=1, n_items=3, weights=[1, -1])
    assert np.isnan(trend(Trending(), data)).tolist() == [False, True, True]


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="half_life_days must be a finite number > 0, got 0"):
        Trending(half_life_days=0)
    with pytest.raises(ValueError, match="usual_days must be a finite number > 30, got 7"):
        Trending(half_life_days=30, usual_days=7)
    with pytest.raises(ValueError, match="seasonal must be true or false, got 'weekly'"):
        Trending(seasonal="weekly")  # type: ignore[arg-type]

"""Session-kNN and cross-sell: what sessions and baskets say."""

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.cross_sell import CrossSell
from recsys.models.session_knn import SessionKNN
from tests.worlds import dataset

MINUTE, HOUR = 1 / 1440, 1 / 24
"""In days."""


def history(*items: int, n_items: int) -> Queries:
    rows = dataset([(0, item) for item in items], n_users=1, n_items=n_items).interactions
    return Queries.of(rows, np.array([0]))


def baskets(*contents: list[int], n_items: int) -> Dataset:
    """One basket a day, all of one user; its rows are a minute apart."""
    pairs = [(0, item) for basket in contents for item in basket]
    days = [day + place * MINUTE for day, basket in enumerate(contents) for place in range(len(basket))]
    return dataset(pairs, n_users=1, n_items=n_items, days=days)


def test_score_is_what_near_sessions_hold_by_their_likeness() -> None:
    data = baskets([0, 1], [0, 2, 3, 4], n_items=5)
    scores = SessionKNN().fit(data).score(history(0, n_items=5))[0]
    # the query shares item 0 with both; their lengths are sqrt(2) and 2
    np.testing.assert_allclose(scores, [0.5**0.5 + 0.5, 0.5**0.5, 0.5, 0.5, 0.5], rtol=1e-6)


def test_later_items_of_the_query_count_more() -> None:
    data = baskets([0, 2], [1, 3], n_items=4)
    scores = SessionKNN(decay=0.5).fit(data).score(history(0, 1, n_items=4))[0]
    assert scores[3] == pytest.approx(2 * scores[2])


def test_only_the_window_is_asked_about() -> None:
    data = baskets([0, 2], [1, 3], n_items=4)
    scores = SessionKNN(window=1).fit(data).score(history(0, 1, n_items=4))[0]
    assert np.isnan(scores).tolist() == [True, False, True, False]


def test_equal_sessions_are_chosen_newest_first_and_fade_with_their_age() -> None:
    data = baskets([0, 1], [0, 2], n_items=3)
    newest = SessionKNN(neighbours=1).fit(data).score(history(0, n_items=3))[0]
    assert np.isnan(newest).tolist() == [False, True, False]
    faded = SessionKNN(half_life_days=1).fit(data).score(history(0, n_items=3))[0]
    assert faded[1] == pytest.approx(faded[2] / 2)


def test_a_pause_ends_a_session() -> None:
    data = dataset([(0, 0), (0, 1), (0, 2)], n_users=1, n_items=3, days=[0, HOUR, 3.5 * HOUR])
    together = {
        pause: np.flatnonzero(~np.isnan(SessionKNN(pause_hours=pause).fit(data).score(history(0, n_items=3))[0]))
        for pause in (0.5, 2.0, 6.0)
    }
    assert [together[pause].tolist() for pause in (0.5, 2.0, 6.0)] == [[0], [0, 1], [0, 1, 2]]


def test_confidence_is_directed_and_lift_is_not() -> None:
    # 0 in four baskets, 1 in two of them, 2 in two others
    data = baskets([0, 1], [0, 1], [0, 2], [0, 2], [3], n_items=4)
    confidence = CrossSell().fit(data)
    assert confidence.score(history(0, n_items=4))[0, 1] == pytest.approx(2 / 4)
    assert confidence.score(history(1, n_items=4))[0, 0] == pytest.approx(2 / 2)
    lift = CrossSell(measure="lift").fit(data)
    assert lift.score(history(0, n_items=4))[0, 1] == pytest.approx(2 * 5 / (4 * 2))
    assert lift.score(history(1, n_items=4))[0, 0] == pytest.approx(2 * 5 / (4 * 2))
    shrunk = CrossSell(shrink=2).fit(data)
    assert shrunk.score(history(1, n_items=4))[0, 0] == pytest.approx(2 / 4)


def test_rare_pairs_are_no_rule_unless_asked_for() -> None:
    data = baskets([0, 1], [0, 2], [0, 2], n_items=3)
    assert np.isnan(CrossSell().fit(data).score(history(0, n_items=3))[0]).tolist() == [True, True, False]
    assert not np.isnan(CrossSell(min_baskets=1).fit(data).score(history(0, n_items=3))[0, 1])


def test_each_item_keeps_its_best_rules() -> None:
    data = baskets([0, 1, 2], [0, 1, 2], [0, 2], n_items=3)
    assert np.isnan(CrossSell(neighbours=1).fit(data).score(history(0, n_items=3))[0]).tolist() == [True, True, False]


def test_an_item_twice_in_a_basket_is_there_once() -> None:
    data = baskets([0, 1, 1], [0, 2], n_items=3)
    scores = CrossSell(min_baskets=1).fit(data).score(history(0, n_items=3))[0]
    np.testing.assert_allclose(scores[1:], 0.5)


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="pause_hours must be a finite number >= 0, got -1"):
        SessionKNN(pause_hours=-1)
    with pytest.raises(ValueError, match="half_life_days must be a finite number > 0, got 0"):
        SessionKNN(half_life_days=0)
    with pytest.raises(ValueError, match="min_baskets must be an integer >= 1, got 0"):
        CrossSell(min_baskets=0)
    with pytest.raises(ValueError, match="measure must be one of 'confidence', 'lift', got 'support'"):
        CrossSell(measure="support")  # type: ignore[arg-type]

from math import isnan, nan
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from recsys.leaderboard import holm, leaderboard
from recsys.scorecard import Scorecard


def card(model: str, values: Any, users: Any = None) -> Scorecard:
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    return Scorecard(
        model=model,
        users=np.arange(n, dtype=np.int32) if users is None else np.array(users, np.int32),
        values={"ndcg_10": values},
        n_seen=np.zeros(n, np.int64),
        fallback=np.zeros(n, np.bool_),
    )


def test_the_leaderboard_ranks_and_marks_what_is_level_with_the_best(rng: np.random.Generator) -> None:
    taste = rng.random(800)
    noise = rng.normal(0, 0.1, (3, 800))
    board = leaderboard(
        [
            card("worse", taste - 0.05 + noise[0]),
            card("best", taste + 0.002 + noise[1]),
            card("near", taste + noise[2]),
        ],
        "ndcg_10",
        rng=rng,
    )
    assert [row.rank for row in board] == [1, 2, 3]
    assert board[-1].model == "worse"
    assert [row.level_with_best for row in board] == [True, True, False]
    assert board[0].against_best is None
    worse = board[2].against_best
    assert worse is not None
    assert worse.low < 0.052 < worse.high
    assert worse.p_value <= board[2].p_adjusted < 0.001
    assert board[0].low < board[0].mean < board[0].high


def test_equal_models_are_level_and_stand_by_name(rng: np.random.Generator) -> None:
    values = rng.random(60)
    board = leaderboard([card("b", values), card("a", values)], "ndcg_10", rng=rng)
    assert [row.model for row in board] == ["a", "b"]
    assert all(row.level_with_best for row in board)
    assert (board[0].low, board[0].high) == (board[1].low, board[1].high)


def test_a_model_without_values_stands_last_and_is_not_called_worse(rng: np.random.Generator) -> None:
    board = leaderboard([card("a", [nan, nan, nan]), card("b", [0.1, 0.2, 0.4])], "ndcg_10", rng=rng)
    assert [row.model for row in board] == ["b", "a"]
    assert isnan(board[1].mean)
    assert isnan(board[1].p_adjusted)
    assert board[1].level_with_best


def test_the_leaderboard_does_not_depend_on_the_order_it_is_given(rng: np.random.Generator) -> None:
    cards = [card(name, rng.random(40)) for name in "abcd"]
    first, second = (leaderboard(order, "ndcg_10", rng=np.random.default_rng(4)) for order in (cards, cards[::-1]))
    assert repr(first) == repr(second)  # NaN is not equal to NaN, but reads the same


def test_false_alarms_among_equal_models_stay_at_the_level(rng: np.random.Generator) -> None:
    # b, c, d against a fixed best: Holm keeps the chance that any is called different at 5%
    p = rng.random((4_000, 3))
    assert np.mean([(holm(row) < 0.05).any() for row in p]) == pytest.approx(0.05, abs=3 * 0.0035)


def test_holm_agrees_with_statsmodels(rng: np.random.Generator) -> None:
    p = rng.random(9) ** 3
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    assert holm(np.empty(0)).shape == (0,)
    np.testing.assert_allclose(holm(np.array([nan, 0.01])), [nan, 0.02])


def test_different_users_do_not_share_a_leaderboard(rng: np.random.Generator) -> None:
    other = card("b", [1.0, 0.0], users=[0, 7])
    with pytest.raises(ValueError, match="judged on different users"):
        leaderboard([card("a", [1.0, 0.0]), other], "ndcg_10", rng=rng)
    with pytest.raises(ValueError, match="got 'a' twice"):
        leaderboard([card("a", [1.0]), card("a", [0.0])], "ndcg_10", rng=rng)
    assert leaderboard([], "ndcg_10", rng=rng) == []

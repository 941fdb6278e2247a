import io
from math import isnan, nan
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from recsys.scorecard import Scorecard, by_slice, compare, slices, summary


def card(model: str, values: Any, **other: Any) -> Scorecard:
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    plain: dict[str, Any] = {
        "users": np.arange(n, dtype=np.int32),
        "n_seen": np.arange(n, dtype=np.int64),
        "fallback": np.arange(n) < 2,
    }
    return Scorecard(model=model, values={"ndcg_10": values}, **{**plain, **other})


def test_the_mean_leaves_out_users_without_a_value() -> None:
    scorecard = card("ease", [1.0, 0.5, nan], catalogue={"coverage_10": 0.25})
    assert scorecard.mean("ndcg_10") == 0.75
    assert scorecard.mean("coverage_10") == 0.25
    assert isnan(card("ease", [nan, nan]).mean("ndcg_10"))
    assert (scorecard.n_users, scorecard.n_fallback) == (3, 2)


def test_an_unknown_metric_is_answered_with_the_nearest() -> None:
    with pytest.raises(LookupError, match="did you mean 'ndcg_10'"):
        card("ease", [1.0]).mean("ndgc_10")


def test_the_summary_has_a_row_per_metric_with_its_interval(rng: np.random.Generator) -> None:
    values = np.append(rng.random(200), nan)
    scorecard = card("ease", values, catalogue={"coverage_10": 0.25})
    ndcg, coverage = summary(scorecard, rng=rng)
    assert (ndcg.metric, ndcg.n, coverage.metric, coverage.mean) == ("ndcg_10", 200, "coverage_10", 0.25)
    assert ndcg.mean == pytest.approx(scorecard.mean("ndcg_10"))
    assert ndcg.low < 0.5 < ndcg.high
    assert isnan(coverage.low)
    assert isnan(coverage.high)


def test_a_summary_of_catalogue_metrics_alone(rng: np.random.Generator) -> None:
    scorecard = Scorecard(
        model="ease",
        users=np.arange(2, dtype=np.int32),
        values={},
        n_seen=np.zeros(2, np.int64),
        fallback=np.zeros(2, np.bool_),
        catalogue={"gini_5": 0.5},
    )
    assert [row.metric for row in summary(scorecard, rng=rng)] == ["gini_5"]


def test_comparing_is_by_user_whatever_the_order(rng: np.random.Generator) -> None:
    values = rng.random(50)
    order = rng.permutation(50)
    a, b = card("a", values), card("b", values[order] - 0.1, users=order.astype(np.int32))
    result = compare(a, b, "ndcg_10", rng=rng)
    assert result.difference == pytest.approx(0.1)
    assert (result.share_better, result.n) == (1.0, 50)


def test_comparing_needs_users_in_common(rng: np.random.Generator) -> None:
    a, b = card("a", [1.0, 0.0]), card("b", [1.0, 0.0], users=np.array([7, 8], np.int32))
    with pytest.raises(ValueError, match="'a' and 'b' have no user in common"):
        compare(a, b, "ndcg_10", rng=rng)


def test_slices_part_the_users_by_history() -> None:
    parts = slices(card("a", np.arange(30)), light=10)
    assert {name: part.n_users for name, part in parts.items()} == {"cold": 1, "few": 3, "light": 7, "heavy": 19}
    assert parts["heavy"].values["ndcg_10"].tolist() == list(range(11, 30))
    assert sum(part.n_fallback for part in parts.values()) == card("a", np.arange(30)).n_fallback
    with pytest.raises(ValueError, match="few must be >= 1 and light above it, got 3 and 0"):
        slices(card("a", [1.0]), light=0)


def test_a_metric_by_slice_has_number_interval_or_the_reason(rng: np.random.Generator) -> None:
    scorecard = card("a", np.arange(30), of_items={"new items": {"ndcg_10": np.full(30, nan)}})
    found = {part.name: part for part in by_slice(scorecard, "ndcg_10", rng=rng)}
    assert {name: part.n for name, part in found.items()} == {
        "cold": 1, "few": 3, "light": 7, "heavy": 19, "new items": 0,
    }  # fmt: skip
    assert found["few"].mean == 2.0
    assert found["few"].low < 2.0 < found["few"].high
    assert found["few"].reason == ""
    assert (found["cold"].mean, found["cold"].reason) == (0.0, "one user alone has no interval")
    assert np.isnan(found["new items"].mean)
    assert found["new items"].reason == "nobody who is judged came to touch an item that was new"


def test_parts_of_the_items_are_slices_too() -> None:
    of_items = {"new items": {"ndcg_10": np.array([nan, 0.5, 1.0])}}
    scorecard = card("a", [0.1, 0.2, 0.3], of_items=of_items)
    assert slices(scorecard)["new items"].mean("ndcg_10") == 0.75
    assert slices(scorecard)["new items"].n_users == 3
    assert scorecard.where(np.array([True, True, False])).of_items["new items"]["ndcg_10"].tolist()[1:] == [0.5]
    with pytest.raises(ValueError, match="new items/ndcg_10 has 3 values for 2 users"):
        card("a", [0.1, 0.2], of_items=of_items)


def test_a_scorecard_survives_a_file() -> None:
    of_items = {"new items": {"ndcg_10": np.array([nan, 0.5, 1.0])}}
    scorecard = card(
        "ease",
        [1.0, nan, 1 / 3],
        catalogue={"coverage_10": 0.25, "gini_10": nan},
        n_without_truth=4,
        of_items=of_items,
    )
    file = io.BytesIO()
    pq.write_table(scorecard.table(), file)
    back = Scorecard.of_table(pq.read_table(io.BytesIO(file.getvalue())))
    assert (back.model, back.n_without_truth) == ("ease", 4)
    np.testing.assert_equal(dict(back.catalogue), dict(scorecard.catalogue))
    for name in ("users", "n_seen", "fallback"):
        np.testing.assert_array_equal(getattr(back, name), getattr(scorecard, name))
        assert getattr(back, name).dtype == getattr(scorecard, name).dtype
    np.testing.assert_array_equal(back.values["ndcg_10"], scorecard.values["ndcg_10"])
    np.testing.assert_equal({part: dict(values) for part, values in back.of_items.items()}, of_items)
    assert list(back.values) == list(scorecard.values)


def test_another_table_is_no_scorecard() -> None:
    table = card("a", [1.0]).table().replace_schema_metadata(None)
    with pytest.raises(ValueError, match="the table is no scorecard"):
        Scorecard.of_table(table)


def test_a_user_stands_once() -> None:
    with pytest.raises(ValueError, match="must have each user once"):
        card("a", [1.0, 0.0], users=np.array([3, 3], np.int32))
    with pytest.raises(ValueError, match="n_seen has 1 values for 2 users"):
        card("a", [1.0, 0.0], n_seen=np.zeros(1, np.int64))


# --- several moments pooled ---


def moments(model: str, rng: np.random.Generator, shift: float = 0.0) -> Scorecard:
    """Two moments: users 0..39 in the first, 20..59 in the second."""
    cards = []
    for first in (0, 20):
        users = np.arange(first, first + 40, dtype=np.int32)
        values = rng.random(40) + shift
        n_seen = np.zeros(40, np.int64) if first == 0 else np.full(40, 20)
        cards.append(card(model, values, users=users, n_seen=n_seen, catalogue={"coverage_10": 0.5}))
    return Scorecard.pooled(cards)


def test_pooled_cards_hold_each_user_once_a_window(rng: np.random.Generator) -> None:
    both = moments("a", rng)
    assert (len(both.users), both.n_users) == (80, 60)
    assert both.window is not None
    assert both.window.tolist() == [0] * 40 + [1] * 40
    assert dict(both.catalogue) == {}
    assert summary(both, rng=rng)[0].n == 60
    assert both.where(both.window == 1).n_users == 40
    with pytest.raises(ValueError, match="must have each user once in each window"):
        card("a", [1.0, 0.0], users=np.array([3, 3], np.int32), window=np.array([1, 1]))


def test_pooled_cards_are_compared_row_by_row_and_resampled_by_user(rng: np.random.Generator) -> None:
    a, b = moments("a", np.random.default_rng(1), 0.1), moments("b", np.random.default_rng(1))
    order = rng.permutation(80)
    assert b.window is not None
    other = card("b", b.values["ndcg_10"][order], users=b.users[order], n_seen=b.n_seen[order], window=b.window[order])
    result = compare(a, other, "ndcg_10", rng=rng)
    assert (result.n, result.share_better) == (60, 1.0)
    assert result.difference == pytest.approx(0.1)
    with pytest.raises(ValueError, match="must both be pooled over windows, or neither"):
        compare(a, card("c", [1.0]), "ndcg_10", rng=rng)


def test_pooled_slices_count_a_user_where_he_stood(rng: np.random.Generator) -> None:
    parts = {part.name: part for part in by_slice(moments("a", rng), "ndcg_10", rng=rng)}
    assert (parts["cold"].n, parts["heavy"].n) == (40, 40)


def test_pooled_cards_survive_a_file(rng: np.random.Generator) -> None:
    both = moments("a", rng)
    back = Scorecard.of_table(both.table())
    np.testing.assert_array_equal(back.keys, both.keys)


def test_only_one_model_is_pooled() -> None:
    with pytest.raises(ValueError, match=r"'a' \(ndcg_10\) and 'b' \(ndcg_10\) are no one model"):
        Scorecard.pooled([card("a", [1.0]), card("b", [1.0])])
    with pytest.raises(ValueError, match="at least one scorecard to pool"):
        Scorecard.pooled([])

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.hybrid.features import GROUPS
from recsys.hybrid.features.base import Past, Rows
from recsys.hybrid.features.builder import Features
from tests.recsys.hybrid.conftest import ORIGINS, every_item
from tests.worlds import dataset

DAY = np.timedelta64(86_400, "s")


def rows_of(queries: Queries, past: Past, origins: tuple[str, ...] = ORIGINS) -> Rows:
    """Every item for every query, asked at the cutoff."""
    candidates = every_item(queries, past.n_items, origins)
    return Rows(queries=queries, candidates=candidates, moments=np.full(len(queries), past.cutoff))


def described(data: Dataset, users: Any, **changes: Any) -> dict[str, NDArray[np.float32]]:
    """Feature -> (n, n_items) values for users of a tiny world, one second after its last row."""
    past = Past(dataset=data, cutoff=data.interactions.time[-1] + np.timedelta64(1, "s"), origins=("one",))
    queries = dataclasses.replace(Queries.of(data.interactions, np.asarray(users)), **changes)
    features = Features().fit(past)
    table = features.compute(rows_of(queries, past, ("one",)))
    return {name: table[:, i].reshape(len(queries), -1) for i, name in enumerate(features.names)}


@pytest.fixture(scope="module")
def features(past: Past) -> Features:
    return Features().fit(past)


# --- the table ---


def test_the_market_has_sixty_features_and_more_each_named_and_described_once(features: Features) -> None:
    table = features.table()
    assert len(table) >= 60
    assert {group for group, _ in table.values()} == set(GROUPS)
    assert all(len(meaning) > 8 and "\n" not in meaning for _, meaning in table.values())
    assert len({name for group in features.groups.values() for name in group.describe()}) == len(features.names)


def test_every_feature_says_something_different_about_the_market(features: Features, past: Past) -> None:
    queries = Queries.of(past.dataset.interactions, np.arange(60))
    values = features.compute(rows_of(queries, past))
    assert values.dtype == np.float32
    assert values.shape == (60 * past.n_items, len(features.names))
    assert not np.isinf(values).any()
    # all moments are the same here, and all items are named by the first origin
    constant = {name for name, column in zip(features.names, values.T, strict=True) if len(np.unique(column)) == 1}
    allowed = {name for name in constant if name.split("_")[0] in ("hour", "weekday", "weekend", "origins")}
    allowed |= {f"{kind}_{o}" for kind in ("rank", "score", "scaled") for o in ORIGINS[1:]}
    assert constant <= allowed


def test_groups_can_be_switched_on_and_off(past: Past) -> None:
    only = Features(["user", "popularity"]).fit(past)
    without = Features({"user": False}).fit(past)
    assert {group for group, _ in only.table().values()} == {"user", "popularity"}
    assert {group for group, _ in without.table().values()} == set(GROUPS) - {"user"}


def test_an_unknown_group_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown feature group 'grph'; did you mean 'graph'"):
        Features(["grph"])
    with pytest.raises(ValueError, match="by true or false, got 'no'"):
        Features({"graph": "no"})  # type: ignore[dict-item]


def test_a_group_without_its_columns_is_refused_when_named_and_else_left_out(market: Dataset) -> None:
    bare = dataclasses.replace(market, item_features={}, user_features={})
    past = Past(dataset=bare, cutoff=bare.interactions.time[-1] + DAY, origins=ORIGINS)
    with pytest.raises(ValueError, match=r"'taste' need a column of labels of the items.*leave the group out"):
        Features(["taste"]).fit(past)
    left = {group for group, _ in Features().fit(past).table().values()}
    assert left == set(GROUPS) - {"taste", "numbers", "content", "context"}


def test_one_query_alone_is_described_as_among_others(features: Features, past: Past) -> None:
    rows = past.dataset.interactions
    together = features.compute(rows_of(Queries.of(rows, np.array([7, -1, 3, 250])), past)).reshape(4, past.n_items, -1)
    for place, user in enumerate((7, -1, 3, 250)):
        alone = features.compute(rows_of(Queries.of(rows, np.array([user])), past))
        np.testing.assert_allclose(alone, together[place], rtol=1e-5, atol=1e-6)


def test_state_gives_back_the_same_features(features: Features, past: Past) -> None:
    back = Features().restore(features.state())
    rows = rows_of(Queries.of(past.dataset.interactions, np.arange(-1, 10)), past)
    assert back.table() == features.table()
    np.testing.assert_array_equal(back.compute(rows), features.compute(rows))
    with pytest.raises(ValueError, match="names no array"):
        Features(["user"]).restore(features.state())


# --- time: nothing of the future ---


def test_a_planted_future_interaction_is_refused(market: Dataset) -> None:
    rows = market.interactions
    cutoff = rows.time[len(rows) // 2]
    with pytest.raises(ValueError, match=r"features as of .* may read only what was before, got \d+ interactions"):
        Past(dataset=market, cutoff=cutoff, origins=ORIGINS)
    before = market.keep(rows.where(rows.time < cutoff))
    Past(dataset=before, cutoff=cutoff, origins=ORIGINS)


def test_a_history_with_a_row_at_its_moment_is_refused(past: Past) -> None:
    queries = Queries.of(past.dataset.interactions, np.array([3, 4]))
    moments = np.array([past.cutoff, queries.times[-1]])
    with pytest.raises(ValueError, match=r"history of query 1 \(user 4\) has a row at .* at or after its moment"):
        Rows(queries=queries, candidates=every_item(queries, past.n_items), moments=moments)


def test_what_happens_after_the_cutoff_changes_nothing(market: Dataset) -> None:
    rows = market.interactions
    cutoff = rows.time[len(rows) * 3 // 4]
    earlier = rows.time < cutoff
    rng = np.random.default_rng(3)
    # another future: the later rows go to other items
    item = np.where(earlier, rows.item, rng.permutation(market.interactions.n_items)[rows.item]).astype(np.int32)
    values = []
    for log in (rows, dataclasses.replace(rows, item=item)):
        past = Past(dataset=market.keep(log.where(log.time < cutoff)), cutoff=cutoff, origins=ORIGINS)
        queries = Queries.of(past.dataset.interactions, np.arange(40))
        values.append(Features().fit(past).compute(rows_of(queries, past)))
    np.testing.assert_array_equal(values[0], values[1])


# --- by hand ---


def test_activity_of_a_history_by_hand() -> None:
    data = dataset([(0, 0), (0, 1), (0, 0), (1, 2)], n_users=2, n_items=3, days=[0, 4, 9, 10], weights=[1, 2, 3, 1])
    found = described(data, [0, -1])
    second = 1 / 86_400
    expected = {
        "user_rows": np.log(4),
        "user_items": np.log(3),
        "user_repeats": 1 / 3,
        "user_rows_1d": 0.0,
        "user_rows_7d": np.log(3),
        "user_idle": np.log(2 + second),
        "user_tenure": np.log(11 + second),
        "user_gap": np.log(5.5),
        "user_weight_mean": 2.0,
        "user_weight_last": 3.0,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name][0], value, rtol=1e-4, atol=1e-4, err_msg=name)
    assert (found["user_rows"][1] == 0).all()
    assert np.isnan(found["user_idle"][1]).all()


def test_popularity_of_an_item_by_hand() -> None:
    pairs = [(0, 0), (1, 0), (2, 0), (0, 1), (0, 0)]
    data = dataset(pairs, n_users=3, n_items=3, days=[0, 50, 99, 99.5, 100])
    found = {name: values[0] for name, values in described(data, [0]).items()}
    np.testing.assert_allclose(found["item_users"], np.log1p([3, 1, 0]), rtol=1e-6)
    np.testing.assert_allclose(found["item_touches"], np.log1p([4, 1, 0]), rtol=1e-6)
    np.testing.assert_allclose(found["item_touches_7d"], np.log1p([2, 1, 0]), rtol=1e-6)
    np.testing.assert_allclose(found["item_touches_90d"], np.log1p([3, 1, 0]), rtol=1e-6)
    np.testing.assert_allclose(found["item_percentile"], [1, 0.5, 0])
    np.testing.assert_allclose(found["item_age"], [np.log(101), np.log(1.5), np.nan], rtol=1e-4)
    assert found["item_trend_7d_30d"][1] > found["item_trend_7d_30d"][2] == 0  # a newcomer rises, silence does not


def test_taste_in_labels_by_hand() -> None:
    data = dataset([(0, 0), (0, 2), (0, 1), (1, 3)], n_users=2, n_items=6, weights=[1, 1, 2, 1])
    found = described(data, [0])
    np.testing.assert_allclose(found["parity_share"][0], [0.5, 0.5] * 3, rtol=1e-6)  # by weight
    np.testing.assert_allclose(found["parity_rows"][0], np.log1p([2, 1] * 3), rtol=1e-6)  # by row
    np.testing.assert_allclose(found["parity_last"][0], [0, 1] * 3)
    faded = np.array([0.8**2 + 0.8, 2.0])
    np.testing.assert_allclose(found["parity_recent"][0], np.tile(faded / faded.sum(), 3), rtol=1e-6)
    np.testing.assert_allclose(found["parity_spread"][0], 2.0, rtol=1e-6)


def test_taste_in_prices_by_hand() -> None:
    bare = dataset([(0, 1), (0, 3), (1, 0)], n_users=2, n_items=5, days=[0, 1, 2])
    data = dataclasses.replace(bare, item_features={"price": np.array([1.0, 2.0, 3.0, 4.0, np.nan])})
    found = described(data, [0])
    third = 1 / 3
    np.testing.assert_allclose(found["price_percentile"][0], [0, third, 2 * third, 1, np.nan], rtol=1e-6)
    np.testing.assert_allclose(found["price_user"][0], 2 * third, rtol=1e-6)
    np.testing.assert_allclose(found["price_gap"][0], np.array([-2, -1, 0, 1, np.nan]) * third, atol=1e-6)
    np.testing.assert_allclose(found["price_last_gap"][0], np.array([-3, -2, -1, 0, np.nan]) * third, atol=1e-6)
    np.testing.assert_allclose(found["price_below"][0], [0, 0.5, 0.5, 1, np.nan])


def test_paths_in_the_graph_by_hand() -> None:
    # user 0 has items 0, 1; users 1 and 2 have 1 and 2; user 3 has 3 alone
    pairs = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 1), (2, 2), (3, 3)]
    found = {name: values[0] for name, values in described(dataset(pairs, n_users=4, n_items=4), [0]).items()}
    cosine = np.array([1 / np.sqrt(3), 1 / np.sqrt(3), 2 / np.sqrt(6), 0])  # of 0 with 1, 1 with 0, 2 with 1
    np.testing.assert_allclose(found["graph_sum"], cosine, rtol=1e-6)
    np.testing.assert_allclose(found["graph_max"], cosine, rtol=1e-6)
    np.testing.assert_allclose(found["graph_recent"], cosine * [1, 0.85, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(found["graph_last"], cosine * [1, 0, 1, 1], rtol=1e-6)  # the last one is item 1
    np.testing.assert_allclose(found["graph_linked"], [0.5, 0.5, 0.5, 0])
    np.testing.assert_allclose(found["graph_paths"], np.log1p([1, 1, 2, 0]), rtol=1e-6)
    # after item 1 came item 2, twice; the share is smoothed by five rows
    np.testing.assert_allclose(found["next_last"], [0, 0, 2 / 7, 0], rtol=1e-6)


def test_content_lies_near_what_is_alike() -> None:
    found = described(dataset([(0, 0), (0, 2), (1, 1)], n_users=2, n_items=6), [0])
    for name in ("content_all", "content_recent", "content_last", "content_max", "content_mean"):
        np.testing.assert_allclose(found[name][0], [1, 0] * 3, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(found["content_focus"][0], 1.0, rtol=1e-6)


def test_latent_vectors_part_the_two_halves_of_a_checkerboard() -> None:
    pairs = [(user, item) for user in range(8) for item in range(8) if (user + item) % 2 == 0 and user != item]
    found = described(dataset(pairs, n_users=8, n_items=8), [0])["latent_all"][0]
    assert found[::2].min() > 0.5
    assert np.abs(found[1::2]).max() < 1e-6


def test_context_of_the_request_stands_in_for_that_of_the_user() -> None:
    pairs = [(user, user % 2) for user in range(20)]  # even users like item 0, odd ones item 1
    data = dataset(pairs, n_users=20, n_items=2)
    context = {"parity": np.array(["", "odd", "odd", "prime"], dtype=object)}
    found = described(data, [0, 0, -1, 0], context=context)
    lift = found["context_parity_lift"]
    assert lift[0, 0] > 0 > lift[0, 1]  # no word of the request: the user is even
    assert lift[1, 1] > 0 > lift[1, 0]
    np.testing.assert_array_equal(lift[2], lift[1])  # an anonymous request has a context too
    assert np.isnan(lift[3]).all()
    np.testing.assert_allclose(found["context_parity_users"][0], np.log1p([10, 0]), rtol=1e-6)


def test_seasons_lift_items_that_have_them() -> None:
    # 2024-01-01 was a Monday; item 0 is touched on Mondays at noon, item 1 on Saturdays at night
    days = [7 * week + 0.5 for week in range(20)] + [7 * week + 5 + 1 / 24 for week in range(20)]
    pairs = [(0, 0)] * 20 + [(0, 1)] * 20
    data = dataset(pairs, n_users=1, n_items=2, days=days)
    past = Past(dataset=data, cutoff=np.datetime64("2025-01-01"), origins=("one",))
    features = Features(["season"]).fit(past)
    queries = Queries.of(data.interactions, np.array([0, 0]))
    moments = np.array(["2024-12-30T13:00", "2025-01-04T02:00"], dtype="datetime64[s]")  # a Monday, a Saturday
    values = features.compute(Rows(queries=queries, candidates=every_item(queries, 2, ("one",)), moments=moments))
    found = {name: values[:, i].reshape(2, 2) for i, name in enumerate(features.names)}
    for name in ("item_weekday_lift", "item_hours_lift", "item_weekend_lift"):
        assert found[name][0, 0] > 0 > found[name][0, 1], name
        assert found[name][1, 1] > 0 > found[name][1, 0], name
    assert found["weekday"][:, 0].tolist() == [0, 5]
    np.testing.assert_allclose(found["user_weekday_share"], 0.5)

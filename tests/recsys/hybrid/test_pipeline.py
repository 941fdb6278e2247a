import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.split import Split, temporal
from recsys.evaluate import evaluate
from recsys.hybrid.features import GROUPS
from recsys.hybrid.pipeline import Pipeline
from recsys.models.base import Recommender, create, load, save
from recsys.recommend import recommend
from tests.recsys.hybrid.conftest import SOURCES
from tests.worlds import dataset

RANKER = {"n_trees": 40, "min_leaf": 20}
DAY = np.timedelta64(86_400, "s")


def pipeline(**params: Any) -> Pipeline:
    made = create("pipeline", **{"candidates": SOURCES, "ranker": RANKER, **params})
    assert isinstance(made, Pipeline)
    return made


@pytest.fixture(scope="module")
def cut(market: Dataset) -> Split:
    return temporal(market, validation="7d", test="7d")


@pytest.fixture(scope="module")
def fitted(cut: Split) -> Pipeline:
    return pipeline(rerankers=[{"name": "mmr"}]).fit(cut.train)


@pytest.fixture(scope="module")
def plain(cut: Split) -> Pipeline:
    return pipeline().fit(cut.train)


def ask(data: Dataset, users: Any) -> Queries:
    return Queries.of(data.interactions, np.asarray(users))


def same_lists(left: Pipeline, right: Pipeline, queries: Queries) -> bool:
    one, two = recommend(left, queries, 10), recommend(right, queries, 10)
    return np.array_equal(one.items, two.items) and np.array_equal(one.scores, two.scores, equal_nan=True)


def ndcg(model: Recommender, seen: Dataset, truth: Dataset) -> float:
    return evaluate(model, seen, truth, ks=(10,), metrics=("ndcg",)).mean("ndcg_10")


# --- what it gives ---


def test_scores_are_those_of_the_trees_for_named_items_and_nan_elsewhere(plain: Pipeline, cut: Split) -> None:
    queries = ask(cut.train, [0, 1, -1])
    scores, named = plain.score(queries), plain.named(queries)
    assert plain.trees is not None
    by_hand = plain.trees.score(plain.described(queries, named))
    np.testing.assert_array_equal(scores[named.query, named.items], by_hand)
    scores[named.query, named.items] = np.nan
    assert np.isnan(scores).all()


def test_how_many_are_described_at_once_changes_nothing(
    plain: Pipeline, cut: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = ask(cut.train, np.arange(-1, 60))
    expected = recommend(plain, queries, 10)
    for at_once in (1, 200, 10**9):
        monkeypatch.setattr("recsys.hybrid.pipeline.AT_ONCE", at_once)
        found = recommend(plain, queries, 10)
        np.testing.assert_array_equal(found.items, expected.items)
        np.testing.assert_array_equal(found.scores, expected.scores)


def test_nothing_seen_is_named(plain: Pipeline, cut: Split) -> None:
    queries = ask(cut.train, np.arange(50))
    seen = set(zip(queries.users[np.repeat(np.arange(50), np.diff(queries.indptr))], queries.items, strict=True))
    named = plain.named(queries)
    assert not seen & set(zip(queries.users[named.query], named.items, strict=True))


def test_nearest_is_the_top_of_the_scores(plain: Pipeline, cut: Split) -> None:
    queries = ask(cut.train, np.arange(20))
    items, scores = plain.nearest(queries, 5)
    dense = plain.score(queries)
    np.testing.assert_array_equal(scores, -np.sort(-dense, axis=1)[:, :5])
    np.testing.assert_array_equal(np.take_along_axis(dense, items, axis=1), scores)
    wide, none = plain.nearest(queries, 500)
    assert wide.shape == (20, 500)
    assert (wide[:, 120:] == -1).all()
    assert np.isnan(none[:, 120:]).all()


def test_ties_at_the_end_of_a_list_go_to_what_the_sources_agree_on(cut: Split) -> None:
    """A calibrated chance takes few values: the cut through a tie is where the order of the whole list cuts it."""
    tied = pipeline(ranker={**RANKER, "objective": "click"}).fit(cut.train)
    queries = ask(cut.train, np.arange(40))
    named = tied.named(queries)
    whole, scores = tied.nearest(queries, tied.named(queries).items.max() + 1)
    crossed = 0
    for row in range(len(queries)):
        own = slice(named.indptr[row], named.indptr[row + 1])
        of = dict(zip(whole[row].tolist(), scores[row].tolist(), strict=True))
        score = np.array([of[item] for item in named.items[own].tolist()])
        expected = named.items[own][np.lexsort((named.items[own], -named.fused[own], -score))]
        assert whole[row, : len(expected)].tolist() == expected.tolist()
    for m in (1, 7, 20):
        head, _ = tied.nearest(queries, m)
        assert np.array_equal(head, whole[:, :m])
        crossed += int((scores[:, m - 1] == scores[:, m]).sum())
    assert crossed > 20


def test_more_features_than_sixty_of_all_groups(plain: Pipeline) -> None:
    table = plain.feature_table()
    assert len(table) >= 60
    assert {group for group, _ in table.values()} == set(GROUPS)
    assert plain.trees is not None
    assert list(table) == plain.trees.names


def test_it_beats_the_sources_that_it_is_made_of(cut: Split) -> None:
    # planted: what people look at next depends on taste, quality and price, of which each source sees one side
    rows = cut.refit()
    tuned = pipeline(ranker={"n_trees": 150}, learn_from={"size": 0.3}).fit(rows)
    alone = [create(part["model"], **part.get("params", {})).fit(rows) for part in SOURCES]
    best = max(ndcg(model, rows, cut.test) for model in alone)
    assert ndcg(tuned, rows, cut.test) > best


def test_without_a_ranker_the_reciprocal_ranks_decide(cut: Split) -> None:
    model = pipeline(ranker=None).fit(cut.train)
    queries = ask(cut.train, np.arange(10))
    named = model.named(queries)
    np.testing.assert_array_equal(model.score(queries)[named.query, named.items], named.fused)
    assert (model.feature_table(), model.unranked, model.trees) == ({}, "", None)


def test_rerankers_rearrange_the_pool_and_nothing_else(fitted: Pipeline, plain: Pipeline, cut: Split) -> None:
    queries = ask(cut.train, np.arange(40))
    before, after = plain.nearest(queries, 50)[0], fitted.nearest(queries, 50)[0]
    assert (np.sort(before, axis=1) == np.sort(after, axis=1)).all()
    assert (before != after).any()
    lists = recommend(fitted, queries, 10)  # which sorts by score again
    np.testing.assert_array_equal(lists.items, after[:, :10])


# --- new events, new people, new moments ---


def test_a_history_that_grew_a_second_ago_changes_the_answer(plain: Pipeline, cut: Split) -> None:
    rows = cut.train.interactions
    old = ask(cut.train, [12])
    first = int(recommend(plain, old, 1).items[0, 0])
    event = dataclasses.replace(
        rows.where(np.arange(len(rows)) == 0),
        user=np.array([12], np.int32),
        item=np.array([first], np.int32),
        time=rows.time[-1:] + 7 * DAY,
    )
    now = event.time + np.timedelta64(1, "s")
    grown = dataclasses.replace(Queries.of(rows + event, np.array([12])), context={"time": now})
    answer = recommend(plain, grown, 10).items[0]
    assert first not in answer
    names = list(plain.feature_table())
    described = plain.described(grown, plain.named(grown))
    np.testing.assert_allclose(described[:, names.index("user_idle")], np.log1p(1 / 86_400), rtol=1e-3)


def test_somebody_unknown_with_a_history_is_served_like_a_known_one(plain: Pipeline, cut: Split) -> None:
    known = ask(cut.train, [12])
    unknown = dataclasses.replace(known, users=np.array([-1], np.int32))
    context = {name: values[[12]] for name, values in cut.train.user_features.items()}
    told = dataclasses.replace(unknown, context=context)  # what is known of him comes with the request
    assert (recommend(plain, unknown, 10).items >= 0).all()
    np.testing.assert_array_equal(recommend(plain, told, 10).items, recommend(plain, known, 10).items)


def test_a_newcomer_gets_what_is_popular_in_an_order_of_the_ranker(plain: Pipeline, cut: Split) -> None:
    named = plain.named(ask(cut.train, [-1]))
    assert np.isnan(named.ranks[:, [0, 2]]).all()
    assert (recommend(plain, ask(cut.train, [-1]), 10).items >= 0).all()


def test_a_request_before_its_own_history_is_refused(plain: Pipeline, cut: Split) -> None:
    queries = ask(cut.train, [12])
    context = {"time": queries.times[-1:] - DAY}
    with pytest.raises(ValueError, match="at or after its moment"):
        recommend(plain, dataclasses.replace(queries, context=context), 5)
    same_second = dataclasses.replace(queries, context={"time": queries.times[-1:]})
    assert (recommend(plain, same_second, 5).items >= 0).all()


def test_the_hour_of_the_request_reaches_the_features(plain: Pipeline, cut: Split) -> None:
    queries = ask(cut.train, [12, 12])
    asked = cut.train.interactions.time[-1] + np.array([5, 5], "timedelta64[D]")
    asked[1] += np.timedelta64(6, "h")
    described = dataclasses.replace(queries, context={"time": asked})
    values = plain.described(described, plain.named(described))
    hour = values[:, list(plain.feature_table()).index("hour_sin")].reshape(2, -1)
    assert hour[0, 0] != hour[1, 0]


# --- kept and given back ---


def test_save_and_load_keep_every_station(fitted: Pipeline, cut: Split, tmp_path: Path) -> None:
    save(fitted, tmp_path)
    back = load(tmp_path)
    assert isinstance(back, Pipeline)
    assert same_lists(fitted, back, ask(cut.train, np.arange(-1, 60)))
    assert back.feature_table() == fitted.feature_table()
    assert back.params() == fitted.params()


def test_a_ranker_of_other_features_is_refused_when_it_is_loaded(fitted: Pipeline) -> None:
    state = fitted.state()
    names = state["ranker.features"].copy()
    names[3] = "something_else"
    with pytest.raises(ValueError, match=r"ranker was fitted on \d+ features, \d+ are computed, .*something_else"):
        pipeline(rerankers=[{"name": "mmr"}]).restore(state | {"ranker.features": names})
    with pytest.raises(ValueError, match="names no array"):
        pipeline(features=["user"], rerankers=[{"name": "mmr"}]).restore(state)
    tiny = dataset([(0, 0), (0, 1), (1, 0), (1, 2)], n_users=2, n_items=3)
    other = pipeline(candidates=[*SOURCES[:2], {"model": "user_knn"}])
    own = {key: array for key, array in other.fit(tiny).state().items() if key.startswith("candidates")}
    rest = {key: array for key, array in state.items() if not key.startswith(("candidates", "rerankers"))}
    rest["features.origins.origins"] = np.array(other.origins)
    with pytest.raises(ValueError, match=r"differ in rank_content, rank_user_knn"):
        other.restore(rest | own)


def test_too_little_to_learn_from_is_told_and_the_reciprocal_ranks_decide() -> None:
    data = dataset([(0, 0), (1, 1), (0, 1)], n_users=2, n_items=2)
    model = create("pipeline", candidates=[{"model": "popularity"}]).fit(data)
    assert isinstance(model, Pipeline)
    assert "no query has both" in model.unranked
    with pytest.raises(ValueError, match="has no ranker: no query has both"):
        model.described(ask(data, [0]), model.named(ask(data, [0])))


# --- wrong use, told when it is made or fitted ---


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"candidates": []}, "needs a list of one or more candidate sources"),
        ({"candidates": [{"model": "item_knn", "k": 3}]}, "has no parameter 'k'"),
        ({"candidates": [{"model": "item_knn", "params": {"neighbors": 3}}]}, "has no parameter 'neighbors'"),
        ({"candidates": [{"model": "item_knn", "m": -1}]}, "m of candidate source 'item_knn' must be an integer >= 0"),
        ({"candidates": [{"model": "item_knn", "m": 0}]}, "every candidate source has m = 0"),
        ({"candidates": [{"model": "pipeline"}]}, "cannot be a candidate source of a pipeline"),
        ({"ranker": {"trees": 3}}, "the ranker has no parameter 'trees'"),
        ({"learn_from": {"by": "day"}}, "must be one of 'time', 'last', 'random', got 'day'"),
        ({"rerankers": [{"model": "mmr"}]}, "a reranker is"),
        ({"features": dict.fromkeys(GROUPS, False)}, "every group of features is off"),
    ],
)
def test_wrong_stations_are_refused_when_the_pipeline_is_made(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline(**params)


def test_unknown_models_and_rerankers_are_refused_with_the_nearest() -> None:
    with pytest.raises(LookupError, match="unknown model 'item_kn'; did you mean 'item_knn'"):
        pipeline(candidates=[{"model": "item_kn"}])
    with pytest.raises(LookupError, match="unknown reranker 'mrr'; did you mean 'mmr'"):
        pipeline(rerankers=[{"name": "mrr"}])


def test_a_source_that_returns_nothing_is_refused_when_it_is_fitted(cut: Split) -> None:
    rows = cut.train.interactions
    singles = cut.train.keep(
        rows.where(np.isin(np.arange(len(rows)), rows.by_user[0][rows.by_user[1][:-1].clip(max=len(rows) - 1)]))
    )
    with pytest.raises(ValueError, match="candidate source 'item_knn' returns nothing for any of the"):
        pipeline(ranker=None).fit(singles)  # one row a user: no two items are alike


def test_data_without_times_are_refused_with_the_cure(cut: Split) -> None:
    rows = cut.train.interactions
    still = cut.train.keep(dataclasses.replace(rows, time=np.full(len(rows), rows.time[0])))
    with pytest.raises(ValueError, match=r"set learn_from: \{by: random\}"):
        pipeline().fit(still)
    assert pipeline(learn_from={"by": "random"}).fit(still).trees is not None  # type: ignore[attr-defined]


def test_a_source_that_is_off_is_as_if_it_were_not_there(cut: Split) -> None:
    off = pipeline(candidates=[*SOURCES, {"model": "user_knn", "m": 0}]).fit(cut.train)
    assert same_lists(off, pipeline().fit(cut.train), ask(cut.train, np.arange(30)))

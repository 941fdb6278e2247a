from typing import Any

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.data.vocabulary import Vocabulary
from recsys.evaluate import cold_items, evaluate, leaderboard, score_recommendations, summary
from recsys.metrics import CATALOGUE_METRICS, METRICS, beyond_accuracy, item_vectors
from recsys.metrics.judged import Truth
from recsys.models.popularity import Popularity

N_USERS, N_ITEMS = 60, 40


def rows(pairs: Any) -> Interactions:
    pairs = np.asarray(pairs).reshape(-1, 2)
    time = np.zeros(len(pairs), "datetime64[s]")
    return Interactions.of(user=pairs[:, 0], item=pairs[:, 1], time=time, n_users=N_USERS, n_items=N_ITEMS)


@pytest.fixture
def split(rng: np.random.Generator) -> tuple[Dataset, Dataset]:
    """Low item numbers are popular; the last ten users are new in the test part."""
    likes = rng.random((N_USERS, N_ITEMS)) < np.linspace(0.8, 0.02, N_ITEMS)
    later = rng.random((N_USERS, N_ITEMS)) < 0.5
    later[-10:] = True
    train = Dataset(
        name="tiny",
        interactions=rows(np.argwhere(likes & ~later)),
        users=Vocabulary.of([f"{i:02}" for i in range(N_USERS)]),
        items=Vocabulary.of([f"{i:02}" for i in range(N_ITEMS)]),
        item_features={"category": np.array(["even", "odd"] * (N_ITEMS // 2))},
    )
    return train, train.keep(rows(np.argwhere(likes & later)))


def test_every_metric_at_every_k_by_default(split: tuple[Dataset, Dataset]) -> None:
    train, test = split
    model = Popularity().fit(train)
    scorecard = evaluate(model, train, test, ks=(5, 10))
    assert list(scorecard.values) == [f"{name}_{k}" for name in METRICS for k in (5, 10)]
    assert list(scorecard.catalogue) == [f"{name}_{k}" for name in CATALOGUE_METRICS for k in (5, 10)]
    assert scorecard.model == "popularity"
    assert all(np.isfinite(column).all() for column in scorecard.values.values())
    assert scorecard.mean("recall_10") > scorecard.mean("recall_5")
    cold = scorecard.users >= N_USERS - 10
    assert (scorecard.n_seen[cold] == 0).all()
    assert (scorecard.n_seen[~cold] > 0).all()


def test_popular_items_first_beat_popular_items_last(split: tuple[Dataset, Dataset], rng: np.random.Generator) -> None:
    train, test = split
    good = evaluate(Popularity().fit(train), train, test, ks=(10,), metrics=["ndcg"])
    queries = Queries.of(train.interactions, good.users)
    worst = np.tile(np.arange(N_ITEMS - 1, N_ITEMS - 11, -1, dtype=np.int32), (len(queries), 1))
    lists = Recommendations(queries=queries, items=worst, scores=-worst.astype(np.float32), model="unpopular")
    bad = score_recommendations(lists, test.interactions, seen=train, ks=(10,), metrics=["ndcg"])
    board = leaderboard([bad, good], "ndcg_10", rng=rng)
    assert [(row.model, row.level_with_best) for row in board] == [("popularity", True), ("unpopular", False)]


def test_users_with_nothing_new_are_left_out_and_counted(split: tuple[Dataset, Dataset]) -> None:
    train, _ = split
    known = train.interactions
    truth = rows([(int(known.user[0]), int(known.item[0])), (55, 3), (56, 4)])
    scorecard = evaluate(Popularity().fit(train), train, truth, ks=(5,), metrics=["ndcg", "coverage"])
    assert scorecard.users.tolist() == [55, 56]
    assert scorecard.n_without_truth == 1


def test_only_what_is_asked_for_is_computed(
    split: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("not asked for")

    train, test = split
    model = Popularity().fit(train)
    everything = evaluate(model, train, test, ks=(5, 10))
    for module, name in ((beyond_accuracy, "novelty"), (beyond_accuracy, "diversity"), (item_vectors, "item_vectors")):
        monkeypatch.setattr(module, name, refuse)
    once = Truth.of(test.interactions, train.interactions)
    quick = evaluate(model, train, once, ks=(10,), metrics=["ndcg"])
    assert list(quick.values) == ["ndcg_10"]
    assert dict(quick.catalogue) == {}
    np.testing.assert_array_equal(quick.values["ndcg_10"], everything.values["ndcg_10"])
    assert summary(quick, rng=rng)[0].n == quick.n_users


def test_the_vectors_handed_in_are_the_ones_used(split: tuple[Dataset, Dataset]) -> None:
    train, test = split
    model = Popularity().fit(train)
    same = evaluate(model, train, test, ks=(5,), metrics=["diversity"], item_vectors=np.ones((N_ITEMS, 2)))
    by_category = evaluate(model, train, test, ks=(5,), metrics=["diversity"])
    np.testing.assert_allclose(same.values["diversity_5"], 0, atol=1e-12)
    assert by_category.mean("diversity_5") > 0.3


def test_the_fallback_is_counted_and_progress_reported(split: tuple[Dataset, Dataset]) -> None:
    train, test = split
    model = Popularity().fit(train)
    steps: list[tuple[int, int]] = []
    scorecard = evaluate(
        model, train, test, ks=(5,), metrics=["ndcg"], fallback=model, report=lambda done, n: steps.append((done, n))
    )
    assert scorecard.n_fallback == 0
    assert steps[-1] == (scorecard.n_users, scorecard.n_users)


def test_nobody_to_judge_is_an_empty_scorecard(split: tuple[Dataset, Dataset], rng: np.random.Generator) -> None:
    train, _ = split
    scorecard = evaluate(Popularity().fit(train), train, rows([]), ks=(5,))
    assert scorecard.n_users == 0
    assert all(np.isnan(row.mean) for row in summary(scorecard, rng=rng))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ks": ()}, ValueError, "ks must be one or more cut-offs >= 1"),
        ({"ks": (0, 5)}, ValueError, r"got \(0, 5\)"),
        ({"metrics": ["recal"]}, LookupError, "unknown metric 'recal'; did you mean 'recall'"),
    ],
)
def test_wrong_use_is_answered_before_the_work(
    split: tuple[Dataset, Dataset], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    train, test = split
    with pytest.raises(error, match=message):
        evaluate(Popularity(), train, test, **options)


def test_new_and_rare_items_are_judged_by_themselves() -> None:
    # item 0 has 11 users, item 1 two, item 2 none; user 20 finds 0 and 2 later, user 21 finds 1, user 22 finds 2
    seen = rows([(u, 0) for u in range(11)] + [(0, 1), (1, 1)])
    later = rows([(20, 0), (20, 2), (21, 1), (22, 2)])
    data = Dataset(
        name="tiny",
        interactions=seen,
        users=Vocabulary.of([f"{i:02}" for i in range(N_USERS)]),
        items=Vocabulary.of([f"{i:02}" for i in range(N_ITEMS)]),
    )
    lists = Recommendations(
        queries=Queries.of(seen, np.array([20, 21, 22])),
        items=np.array([[0, 5], [6, 1], [2, 0]], np.int32),
        scores=np.ones((3, 2), np.float32),
        model="written down",
    )
    names = ["recall", "mrr", "novelty", "coverage"]
    parts = cold_items(seen)
    scorecard = score_recommendations(lists, later, seen=data, ks=(2,), metrics=names, parts=parts)
    assert scorecard.values["recall_2"].tolist() == [0.5, 1.0, 1.0]
    assert set(scorecard.of_items) == {"new items", "rare items"}
    assert set(scorecard.of_items["new items"]) == {"recall_2", "mrr_2"}  # the truth decides no others
    np.testing.assert_array_equal(scorecard.of_items["new items"]["recall_2"], [0.0, np.nan, 1.0])
    np.testing.assert_array_equal(scorecard.of_items["rare items"]["mrr_2"], [np.nan, 0.5, np.nan])
    new = Truth.of(later, seen).of_items(parts["new items"])
    assert (new.users.tolist(), new.n_without) == ([20, 22], 1)
    with pytest.raises(ValueError, match="few must be >= 2, got 1"):
        cold_items(seen, few=1)

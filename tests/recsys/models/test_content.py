"""Content by hand, with an index, and on items that nobody has touched."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import create, load, save
from recsys.models.content import Content
from recsys.models.popularity import Popularity
from recsys.recommend import recommend
from tests.worlds import dataset, random_market

IMAGE: list[dict[str, Any]] = [{"encoder": "vectors", "params": {"columns": ["image"]}}]
GENRES: list[dict[str, Any]] = [{"encoder": "attributes", "params": {"columns": ["genres"]}}]
NAN = np.nan


def described(data: Dataset, **features: Any) -> Dataset:
    return dataclasses.replace(data, item_features=features)


def gallery(rng: np.random.Generator, n_items: int = 60, n_users: int = 40) -> Dataset:
    """A random market whose items have random images; items 5 and 6 have none."""
    image = rng.normal(size=(n_items, 8))
    image[[5, 6]] = NAN
    return described(random_market(rng, n_users, n_items, 500), image=image)


def test_scores_by_hand() -> None:
    # user 0 liked item 0 (east) and then item 1 (north); items 2 and 3 point north-east and west, 4 is not described
    image = np.array([[2.0, 0], [0, 5], [1, 1], [-1, 0], [NAN, NAN]])
    data = described(dataset([(0, 0), (0, 1)], n_users=2, n_items=5), image=image)
    half = np.sqrt(0.5)
    queries = Queries.of(data.interactions, np.array([0, 1]))
    flat = Content(IMAGE).fit(data).score(queries)
    np.testing.assert_allclose(flat[0], [half, half, 1, -half, NAN], rtol=1e-6)
    assert np.isnan(flat[1]).all()
    recent = Content(IMAGE, decay=0.5).fit(data).score(queries)[0]
    np.testing.assert_allclose(recent[:2], np.array([0.5, 1]) / np.hypot(0.5, 1), rtol=1e-6)
    # item 1 came a day later: a half-life of a day is the same here
    np.testing.assert_allclose(Content(IMAGE, half_life_days=1).fit(data).score(queries)[0], recent, rtol=1e-6)
    last = Content(IMAGE, window=1).fit(data).score(queries)[0]
    np.testing.assert_allclose(last, [0, 1, half, 0, NAN], atol=1e-7)


def test_a_user_of_whose_items_nothing_is_known_gets_no_scores() -> None:
    data = described(dataset([(0, 0), (1, 1)], n_users=2, n_items=3), genres=np.array(["", "a", "a"], object))
    scores = Content(GENRES).fit(data).score(Queries.of(data.interactions, np.array([0, 1])))
    assert np.isnan(scores[0]).all()
    assert scores[1, 2] == pytest.approx(1)


def test_share_and_weights_say_what_counts() -> None:
    data = described(
        dataset([(0, 0)], n_users=1, n_items=3),
        genres=np.array(["a", "a", "b"], object),
        image=np.array([[1.0, 0], [0, 1], [1, 0]]),
    )
    query = Queries.of(data.interactions, np.array([0]))

    def scores(**params: Any) -> NDArray[np.float32]:
        return Content(GENRES + IMAGE, **params).fit(data).score(query)[0, 1:]

    np.testing.assert_allclose(scores(), [0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(scores(weights=[3, 1]), [0.75, 0.25], rtol=1e-6)
    np.testing.assert_allclose(scores(share=0.2), [0.2, 0.8], rtol=1e-6)
    np.testing.assert_allclose(scores(share=0), [0, 1], atol=1e-6)


@pytest.mark.parametrize("index", ["exact", "flat"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_an_exact_index_gives_the_lists_that_scores_give(
    index: str, exclude_seen: bool, rng: np.random.Generator, installed: Callable[[str], None]
) -> None:
    installed("faiss")
    data = gallery(rng)
    queries = Queries.of(data.interactions, np.array([*range(40), -1]))
    searched, scored = Content(IMAGE, index=index).fit(data), Content(IMAGE).fit(data)
    params: dict[str, Any] = {"exclude_seen": exclude_seen, "banned": np.array([0, 3, 59]), "block": 16}
    for k in (1, 10, 80):
        for fallback in (None, Popularity().fit(data)):
            left = recommend(searched, queries, k, fallback=fallback, **params)
            right = recommend(scored, queries, k, fallback=fallback, **params)
            np.testing.assert_array_equal(left.items, right.items)
            np.testing.assert_allclose(left.scores, right.scores, rtol=1e-5, atol=1e-6)


def test_recommend_asks_the_index_and_scores_nothing(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    data = gallery(rng)
    model = Content(IMAGE, index="exact").fit(data)
    asked: list[int] = []
    whole = Content.score
    monkeypatch.setattr(Content, "score", lambda self, queries: (asked.append(len(queries)), whole(self, queries))[1])
    recommend(model, Queries.of(data.interactions, np.arange(40)), 5)
    assert set(asked) == {0}  # to learn the number of items


def test_an_approximate_index_is_measured_saved_and_loaded(
    rng: np.random.Generator, tmp_path: Path, installed: Callable[[str], None]
) -> None:
    installed("faiss")
    data = gallery(rng, n_items=900)
    queries = Queries.of(data.interactions, np.arange(40))
    model = create("content", encoders=IMAGE, index="hnsw", index_params={"width": 64}).fit(data)
    assert 0.9 <= model.recall <= 1  # type: ignore[attr-defined]
    exact = recommend(Content(IMAGE).fit(data), queries, 10).items
    lists = recommend(model, queries, 10)
    assert np.mean([np.isin(a, b).mean() for a, b in zip(lists.items, exact, strict=True)]) > 0.9
    save(model, tmp_path / "model")
    back = load(tmp_path / "model")
    np.testing.assert_array_equal(recommend(back, queries, 10).items, lists.items)
    assert back.recall == model.recall  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="with index None holds arrays"):
        Content(IMAGE).restore(model.state())


def test_an_index_that_finds_little_says_so_and_what_to_do(
    rng: np.random.Generator, tmp_path: Path, installed: Callable[[str], None]
) -> None:
    installed("faiss")
    data = gallery(rng, n_items=1_500)

    def made(**params: Any) -> Content:
        return Content(IMAGE, index="ivfpq", **params).fit(data)

    poor = made(index_params={"lists": 30, "probes": 1, "subspaces": 1})
    assert poor.recall < 0.5
    assert poor.index_note.startswith(f"index ivfpq of content finds {poor.recall:.1%} of the 10 exactly best")
    assert "below least_recall 80%: raise `probes`" in poor.index_note
    save(poor, tmp_path / "poor")
    back = load(tmp_path / "poor")
    assert isinstance(back, Content)
    assert back.index_note == poor.index_note
    lenient = made(index_params={"lists": 30, "probes": 1, "subspaces": 1}, least_recall=0.0)
    assert "below" not in lenient.index_note
    better = made(index_params={"lists": 30, "probes": 30, "subspaces": 8})
    assert better.recall > poor.recall
    assert Content(IMAGE, index="exact").fit(data).index_note == ""
    assert Content(IMAGE).fit(data).index_note == ""
    with pytest.raises(ValueError, match="least_recall must be"):
        Content(IMAGE, least_recall=1.5)


def test_history_and_banned_numbers_are_checked_with_an_index_too(rng: np.random.Generator) -> None:
    data = gallery(rng)
    model = Content(IMAGE, index="exact").fit(data)
    queries = Queries.of(data.interactions, np.arange(3))
    with pytest.raises(ValueError, match=r"banned must hold item numbers 0..59, got 60..60"):
        recommend(model, queries, 3, banned=np.array([60]))
    queries.items[0] = -1
    with pytest.raises(ValueError, match="item number"):
        recommend(model, queries, 3)


def test_bad_parameters_and_data_without_features_are_refused() -> None:
    bare = described(dataset([(0, 0)], n_users=1, n_items=2))
    with pytest.raises(ValueError, match="no features to encode"):
        Content().fit(bare)
    blank = described(bare, genres=np.array(["", ""], object))
    assert np.isnan(Content(GENRES).fit(blank).score(Queries.of(bare.interactions, np.array([0])))).all()
    with pytest.raises(ValueError, match="nothing to index"):
        Content(GENRES, index="exact").fit(blank)
    with pytest.raises(LookupError, match="unknown feature 'genres'"):
        Content(GENRES).fit(described(bare, genre=np.array(["a", "b"], object)))
    for params, why in (
        ({"encoders": []}, "at least one encoder"),
        ({"encoders": [{"params": {}}]}, "an encoder is given as"),
        ({"weights": [1.0], "share": 0.5}, "either `weights` or `share`"),
        ({"share": 2}, "share must be"),
        ({"dimensions": 0}, "dimensions must be an integer >= 1"),
        ({"half_life_days": 0}, "half_life_days must be a finite number > 0"),
        ({"window": 0}, "window must be an integer >= 1"),
        (
            {"index": "hnsw", "index_params": {"widht": 3}},
            "index 'hnsw' has no parameter 'widht'; did you mean 'width'",
        ),
    ):
        with pytest.raises(ValueError, match=why):
            create("content", **params)

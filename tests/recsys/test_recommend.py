"""Masking, cutting and falling back."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import Recommender, Watch
from recsys.models.item_knn import ItemKNN
from recsys.models.popularity import Popularity
from recsys.recommend import mask_seen, recommend
from tests.worlds import dataset, random_market

NAN = float("nan")


@dataclass
class Table(Recommender):
    """Scores written down by user number: what the model says is the test's to choose."""

    name: ClassVar[str] = "table"
    rows: list[list[float]] = field(default_factory=list)

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        pass

    def score(self, queries: Queries) -> NDArray[np.float32]:
        return np.array(self.rows, dtype=np.float32)[queries.users]


def queries(*histories: list[int]) -> Queries:
    """Query i is user i with this history."""
    pairs = [(user, item) for user, items in enumerate(histories) for item in items]
    rows = dataset(pairs, n_users=len(histories), n_items=5).interactions
    return Queries.of(rows, np.arange(len(histories)))


def test_best_unseen_items_come_first() -> None:
    lists = recommend(Table([[5, 4, 3, 2, 1], [1, 2, 3, 4, 5]]), queries([0], [3]), 2)
    assert lists.items.tolist() == [[1, 2], [4, 2]]
    assert lists.scores.tolist() == [[4, 3], [5, 3]]
    assert lists.model == "table"


def test_seen_items_stay_when_asked() -> None:
    assert recommend(Table([[5, 4, 3, 2, 1]]), queries([0]), 2, exclude_seen=False).items.tolist() == [[0, 1]]


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_banned_items_are_shown_to_nobody_not_even_by_the_fallback(exclude_seen: bool) -> None:
    lists = recommend(
        Table([[5, 4, NAN, NAN, NAN]]),
        queries([]),
        4,
        fallback=Table([[1, 2, 3, 4, 5]]),
        banned=np.array([0, 4]),
        exclude_seen=exclude_seen,
    )
    assert lists.items.tolist() == [[1, 3, 2, -1]]


def test_fallback_fills_below_the_model_without_duplicates_or_seen_items() -> None:
    lists = recommend(Table([[9, NAN, NAN, NAN, NAN]]), queries([4]), 3, fallback=Table([[5, 1, 2, 3, 9]]))
    assert lists.items.tolist() == [[0, 3, 2]]
    assert np.isnan(lists.scores).tolist() == [[False, True, True]]
    assert lists.fallback.tolist() == [True]


def test_fallback_serves_whom_the_model_does_not_know() -> None:
    model = Table([[1, 2, 3, 4, 5], [NAN] * 5])
    lists = recommend(model, queries([], []), 2, fallback=Table([[5, 4, 3, 2, 1]] * 2))
    assert lists.items.tolist() == [[4, 3], [0, 1]]
    assert lists.fallback.tolist() == [False, True]


def test_places_nobody_can_fill_are_padded() -> None:
    lists = recommend(Table([[1, 2, NAN, 3, 4]]), queries([0, 1]), 7)
    assert lists.items.tolist() == [[4, 3, -1, -1, -1, -1, -1]]
    assert np.isnan(lists.scores[0, 2:]).all()


def test_no_queries_give_no_lists() -> None:
    assert recommend(Table([[1, 2]]), queries([]).block(0, 0), 3).items.shape == (0, 3)


def test_mask_seen_leaves_the_scores_alone() -> None:
    scores = np.broadcast_to(np.arange(5, dtype=np.float32), (2, 5))
    masked = mask_seen(scores, queries([1], [0, 4]))
    assert np.isnan(masked).tolist() == [[False, True, False, False, False], [True, False, False, False, True]]
    assert not np.isnan(scores).any()


def test_banning_does_not_write_into_the_model() -> None:
    model = Popularity().fit(dataset([(0, 0), (1, 1)], n_users=2, n_items=3))
    everyone = Queries.of(dataset([(0, 0)], n_users=2, n_items=3).interactions, np.array([0, 1]))
    before = model.score(everyone).copy()
    recommend(model, everyone, 2, banned=np.array([0]), exclude_seen=False)
    assert np.array_equal(model.score(everyone), before)


@settings(deadline=None)  # the first fit of a process loads numba
@given(st.integers(1, 40), st.integers(1, 25), st.integers(0, 2**32 - 1))
def test_blocks_change_nothing_and_lists_are_proper(block: int, k: int, seed: int) -> None:
    data = random_market(np.random.default_rng(seed))
    model, fallback = ItemKNN(neighbours=3).fit(data), Popularity().fit(data)
    everyone = Queries.of(data.interactions, np.arange(-1, 30))
    whole = recommend(model, everyone, k, fallback=fallback, block=1000)
    parts = recommend(model, everyone, k, fallback=fallback, block=block)
    assert np.array_equal(whole.items, parts.items)
    assert np.array_equal(whole.scores, parts.scores, equal_nan=True)
    seen = everyone.csr(20).toarray() > 0
    for row, items in enumerate(whole.items):
        chosen = items[items >= 0]
        assert len(set(chosen.tolist())) == len(chosen) == min(k, 20 - seen[row].sum())
        assert not seen[row, chosen].any()


def test_progress_is_reported_after_each_block() -> None:
    calls: list[tuple[int, int]] = []
    recommend(Table([[1.0] * 5] * 5), queries([], [], [], [], []), 1, block=2, report=lambda *c: calls.append(c))
    assert calls == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize(("k", "block", "message"), [(0, 1, "k must be >= 1, got 0"), (1, 0, "block must be >= 1")])
def test_impossible_sizes_are_refused(k: int, block: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recommend(Table([[1, 2]]), queries([]), k, block=block)


@pytest.mark.parametrize("item", [-1, 5])
def test_banned_items_of_another_vocabulary_are_refused(item: int) -> None:
    with pytest.raises(ValueError, match=r"banned must hold item numbers 0\.\.4"):
        recommend(Table([[1, 2, 3, 4, 5]]), queries([0]), 1, banned=np.array([item]))


@pytest.mark.parametrize("item", [-1, 5])
def test_history_of_another_vocabulary_is_refused(item: int) -> None:
    strange = queries([0])
    strange.items[0] = item
    with pytest.raises(ValueError, match=r"histories must hold item numbers 0\.\.4"):
        recommend(Table([[1, 2, 3, 4, 5]]), strange, 1)

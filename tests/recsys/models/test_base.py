"""The shared parts of every model."""

import sys

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys.compiled import compiled
from recsys.data.queries import Queries
from recsys.models import als
from recsys.models.base import create, likes, query_likes
from tests.worlds import checkerboard, dataset, random_market


def test_unknown_parameter_is_named_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match="model 'popularity' has no parameter 'k'; it has: window_days, half_life_days"
    ):
        create("popularity", k=3)


def test_missing_parameter_is_named() -> None:
    with pytest.raises(ValueError, match="model 'fusion' needs the parameter 'parts'"):
        create("fusion")


def test_unknown_model_gets_the_nearest_name() -> None:
    with pytest.raises(LookupError, match="did you mean 'item_knn'"):
        create("item_kn")


@pytest.mark.parametrize("name", ["als", "bpr"])
def test_missing_library_is_named_with_the_cure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    als._blas_of_implicit.cache_clear()
    for module in [m for m in sys.modules if m.split(".")[0] == "implicit"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "implicit", None)
    data, _ = checkerboard()
    with pytest.raises(ImportError, match=rf"model '{name}' needs implicit.*pip install 'bakeoff\[train\]'"):
        create(name).fit(data)


@pytest.mark.parametrize("name", ["item_knn", "slim"])
def test_missing_numba_is_named_with_the_cure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled.cache_clear()
    monkeypatch.setitem(sys.modules, "numba", None)
    data, _ = checkerboard()
    with pytest.raises(ImportError, match=r"need numba: pip install 'bakeoff\[train\]'"):
        create(name).fit(data)


def test_likes_drops_what_is_not_positive_and_keeps_the_shape() -> None:
    matrix = csr_matrix(
        (np.array([2, 0, -1, 3], np.float32), np.array([0, 1, 2, 1]), np.array([0, 3, 3, 4])), shape=(3, 4)
    )
    assert likes(matrix, "weight").toarray().tolist() == [[2, 0, 0, 0], [0, 0, 0, 0], [0, 3, 0, 0]]
    assert likes(matrix, "binary").toarray().tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    assert matrix.nnz == 4


def histories(*pairs: tuple[int, int], weights: list[float] | None = None) -> Queries:
    rows = dataset(pairs, n_users=2, n_items=4, weights=weights).interactions
    return Queries.of(rows, np.array([0, 1]))


def test_a_like_counts_less_with_each_other_like_after_it() -> None:
    queries = histories((0, 2), (0, 0), (1, 1), (0, 3))
    decayed = query_likes(queries, 4, "binary", decay=0.5).toarray()
    assert decayed.tolist() == [[0.5, 0, 0.25, 1], [0, 1, 0, 0]]


def test_an_item_touched_again_is_as_young_as_its_last_touch_and_ages_nothing_twice() -> None:
    queries = histories((0, 2), (0, 0), (0, 2), (0, 3), (0, 3), weights=[1, 1, 2, 1, 1])
    assert query_likes(queries, 4, "weight", decay=0.5).toarray()[0].tolist() == [0.25, 0, 1.5, 2]


def test_a_dislike_ages_nothing() -> None:
    queries = histories((0, 2), (0, 0), weights=[1, -1])
    assert query_likes(queries, 4, "binary", decay=0.5).toarray()[0].tolist() == [0, 0, 1, 0]


def test_the_window_keeps_the_latest_likes() -> None:
    queries = histories((0, 2), (0, 0), (0, 2), (0, 1))
    assert query_likes(queries, 4, "binary", window=2).toarray().tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]
    assert query_likes(queries, 4, "binary", window=9).toarray()[0].tolist() == [1, 1, 1, 0]


def test_decay_one_is_the_plain_history(rng: np.random.Generator) -> None:
    data = random_market(rng, weighted=True)
    queries = Queries.of(data.interactions, np.arange(-1, 30))
    plain, decayed, windowed = (
        query_likes(queries, 20, "weight", **options).toarray()
        for options in ({}, {"decay": 1.0, "window": 1000}, {"window": 1000})
    )
    assert np.array_equal(plain, decayed)
    assert np.array_equal(plain, windowed)


def test_half_life_counts_days_before_the_last_row_of_the_history() -> None:
    rows = dataset([(0, 0), (0, 1), (0, 2), (0, 1)], n_users=1, n_items=4, days=[0, 2, 4, 10]).interactions
    young = query_likes(Queries.of(rows, np.array([0])), 4, "binary", half_life_days=2)
    np.testing.assert_allclose(young.toarray(), [[0.5**5, 1, 0.5**3, 0]])
    both = query_likes(Queries.of(rows, np.array([0])), 4, "binary", half_life_days=2, decay=0.1, window=2)
    np.testing.assert_allclose(both.toarray(), [[0, 1, 0.1 * 0.5**3, 0]])

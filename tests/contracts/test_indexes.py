"""What every registered index must do. To register an index is to be tested here."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.index import INDEXES
from recsys.index.base import Index, create

EXACT = {"exact", "flat"}
NEEDS = {"exact": "numba", "flat": "faiss", "hnsw": "faiss", "ivfpq": "faiss"}
LEAST_RECALL = {"exact": 1.0, "flat": 1.0, "hnsw": 0.9, "ivfpq": 0.3}
"""Of random vectors, the hardest: nothing is near anything."""
PARAMS: dict[str, dict[str, Any]] = {"ivfpq": {"lists": 16, "probes": 16, "subspaces": 8}}
Vectors = NDArray[np.float32]


@pytest.fixture(params=sorted(INDEXES))
def index(request: pytest.FixtureRequest, installed: Callable[[str], None]) -> Index:
    installed(NEEDS[request.param])
    return make(request.param)


def make(name: str) -> Index:
    return create(name, **PARAMS.get(name, {}))


def random_vectors(n: int, d: int = 16, seed: int = 0) -> Vectors:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def brute(vectors: Vectors, queries: Vectors, k: int) -> NDArray[np.int64]:
    """The numbers of the k largest products of each query, ties by number."""
    return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]


def test_the_best_come_first_with_their_products(index: Index) -> None:
    vectors, queries = random_vectors(2_000), random_vectors(50, seed=1)
    items, scores = index.build(vectors).search(queries, 10)
    assert (items.dtype, scores.dtype, items.shape, scores.shape) == (np.int32, np.float32, (50, 10), (50, 10))
    assert (np.diff(scores, axis=1) <= 0).all()
    true = brute(vectors, queries, 10)
    share = np.mean([len(np.intersect1d(found, best)) / 10 for found, best in zip(items, true, strict=True)])
    assert share >= LEAST_RECALL[index.name]
    if index.name in EXACT:
        np.testing.assert_array_equal(items, true)
    if index.name != "ivfpq":  # whose scores are those of the compressed vectors
        products = np.take_along_axis(queries @ vectors.T, items.astype(np.int64), axis=1)
        np.testing.assert_allclose(scores, products, rtol=1e-4, atol=1e-5)


def test_recall_is_that_against_exact_search(index: Index) -> None:
    vectors, queries = random_vectors(2_000), random_vectors(256, seed=1)
    items, _ = index.build(vectors, queries).search(queries, 10)
    share = np.mean(
        [np.isin(found, best).mean() for found, best in zip(items, brute(vectors, queries, 10), strict=True)]
    )
    assert index.recall == pytest.approx(share)
    assert LEAST_RECALL[index.name] <= index.recall <= 1


def test_more_than_there_are_stay_empty(index: Index) -> None:
    items, scores = index.build(random_vectors(3)).search(random_vectors(2, seed=1), 5)
    assert (np.sort(items[:, :3], axis=1) == [0, 1, 2]).all()
    assert (items[:, 3:] == -1).all()
    assert np.isnan(scores).tolist() == [[False] * 3 + [True] * 2] * 2


@pytest.mark.parametrize("n", [1, 2, 30, 700])
def test_small_catalogues_are_served(index: Index, n: int, capfd: pytest.CaptureFixture[str]) -> None:
    vectors = random_vectors(n)
    items, _ = index.build(vectors).search(vectors, 1)
    assert (items[:, 0] >= 0).all()
    assert index.recall >= 0.3
    assert capfd.readouterr().err == ""  # faiss complains there of too few training points


def test_same_vectors_same_answers(index: Index) -> None:
    vectors, queries = random_vectors(3_000), random_vectors(20, seed=1)
    first, again = index.build(vectors), make(index.name).build(vectors)
    for left, right in zip(first.search(queries, 10), again.search(queries, 10), strict=True):
        np.testing.assert_array_equal(left, right)


def test_equal_vectors_are_in_the_order_of_number(index: Index) -> None:
    vectors = np.repeat(random_vectors(1), 9, axis=0)
    assert index.build(vectors).search(vectors[:1], 9)[0].tolist() == [list(range(9))]


def test_state_survives_a_file_without_pickle(index: Index, tmp_path: Path) -> None:
    vectors, queries = random_vectors(1_000), random_vectors(5, seed=1)
    index.build(vectors)
    np.savez(tmp_path / "index.npz", allow_pickle=False, **index.state())
    with np.load(tmp_path / "index.npz", allow_pickle=False) as file:
        back = make(index.name).restore({name: file[name] for name in file.files})
    for left, right in zip(index.search(queries, 7), back.search(queries, 7), strict=True):
        np.testing.assert_array_equal(left, right)
    assert (back.recall, back.adapted) == (index.recall, index.adapted)


def test_a_second_build_forgets_the_first(index: Index) -> None:
    vectors = random_vectors(50, d=8)
    index.build(random_vectors(100)).build(vectors)
    items, _ = index.search(vectors, 50)
    assert items.max() == 49


def test_a_query_with_nan_finds_nothing_and_no_queries_give_no_rows(index: Index) -> None:
    queries = random_vectors(3, seed=1)
    queries[1, 4] = np.nan
    items, scores = index.build(random_vectors(40)).search(queries, 2)
    assert (items[1] == -1).all()
    assert np.isnan(scores[1]).all()
    assert (items[[0, 2]] >= 0).all()
    assert index.search(queries[:0], 2)[0].shape == (0, 2)


def test_nothing_handed_in_is_written_to(index: Index) -> None:
    vectors, queries = random_vectors(200), random_vectors(5, seed=1)
    copies = vectors.copy(), queries.copy()
    items, scores = index.build(vectors).search(queries, 3)
    items[:], scores[:] = 7, 7  # what is handed out belongs to the caller
    assert np.array_equal(vectors, copies[0])
    assert np.array_equal(queries, copies[1])


def test_bad_input_is_refused(index: Index) -> None:
    with pytest.raises(RuntimeError, match="not built"):
        index.search(random_vectors(1), 1)
    with pytest.raises(RuntimeError, match="not built"):
        index.state()
    with pytest.raises(ValueError, match="at least one vector"):
        index.build(random_vectors(0))
    with pytest.raises(ValueError, match="vectors must be finite, row 1 is not"):
        index.build(np.array([[1.0, 2], [np.nan, 1]]))
    with pytest.raises(ValueError, match=r"vectors must be \(n, d\) numbers, got shape \(3,\)"):
        index.build(np.ones(3))
    index.build(random_vectors(5))
    with pytest.raises(ValueError, match="k must be >= 1, got 0"):
        index.search(random_vectors(1), 0)
    with pytest.raises(ValueError, match="must have the 16 columns of the vectors, got 8"):
        index.search(random_vectors(1, d=8), 1)
    state = index.state()
    for bad in ({"size": state["size"]}, state | {"strange": np.ones(1)}, state | {"size": np.array([7, 16])}):
        with pytest.raises(ValueError, match="index '"):
            make(index.name).restore(bad)


def test_parameters_are_checked(index: Index) -> None:
    with pytest.raises(ValueError, match=f"threads of index '{index.name}' must be an integer >= 1, got 0"):
        create(index.name, threads=0)
    with pytest.raises(ValueError, match="has no parameter 'thread'; did you mean 'threads'"):
        create(index.name, thread=1)


def test_the_threads_of_faiss_are_put_back(index: Index) -> None:
    if importlib.util.find_spec("faiss") is None:
        pytest.skip("faiss is not installed, so it has no threads")
    import faiss

    before = faiss.omp_get_max_threads()
    index.build(random_vectors(700)).search(random_vectors(5), 2)
    assert faiss.omp_get_max_threads() == before

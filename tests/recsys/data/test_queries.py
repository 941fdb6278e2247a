"""Queries taken apart and put together again are what they were."""

from dataclasses import replace

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.sources.market import load


@pytest.fixture(scope="module")
def market() -> Dataset:
    return load(n_users=40, n_items=30, days=20, seed=1).dataset


def test_blocks_joined_are_the_whole(market: Dataset) -> None:
    users = np.array([3, -1, 7, 7, 0, 39])
    hours = np.array([1, 2, 3, 4, 5, 6])
    whole = replace(Queries.of(market.interactions, users), context={"hour": hours})
    for parts in ([(0, 6)], [(0, 1), (1, 2), (2, 6)], [(n, n + 1) for n in range(6)]):
        joined = Queries.joined([whole.block(start, stop) for start, stop in parts])
        for name in ("users", "indptr", "items", "weights", "times"):
            got, expected = getattr(joined, name), getattr(whole, name)
            assert got.dtype == expected.dtype
            assert np.array_equal(got, expected)
        assert np.array_equal(joined.context["hour"], hours)
    assert joined.users.tolist() == users.tolist()


def test_the_matrix_is_made_once_and_a_changed_query_has_its_own(market: Dataset) -> None:
    queries = Queries.of(market.interactions, np.array([2, 5]))
    matrix = queries.csr(30)
    assert queries.csr(30) is matrix
    assert queries.csr(31).shape == (2, 31)
    more = replace(queries, weights=queries.weights * 2)
    assert np.array_equal(more.csr(30).toarray(), 2 * matrix.toarray())
    assert np.array_equal(queries.block(1, 2).csr(30).toarray(), matrix[1:].toarray())

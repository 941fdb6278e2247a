"""A small market, what a pipeline over it looks like, and candidates to describe."""

from typing import Any

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.sources.market import load
from recsys.hybrid.candidates import Candidates
from recsys.hybrid.features.base import Past

SOURCES: list[dict[str, Any]] = [
    {"model": "item_knn", "m": 30},
    {"model": "popularity", "m": 30},
    {"model": "content", "params": {"dimensions": 16}, "m": 20},
]
ORIGINS = ("item_knn", "popularity", "content")


@pytest.fixture(scope="session")
def market() -> Dataset:
    return load(n_users=300, n_items=120, days=60, seed=5).dataset


@pytest.fixture(scope="session")
def past(market: Dataset) -> Past:
    cutoff = market.interactions.time[-1] + np.timedelta64(1, "s")
    return Past(dataset=market, cutoff=cutoff, origins=ORIGINS)


def every_item(queries: Queries, n_items: int, origins: tuple[str, ...] = ORIGINS) -> Candidates:
    """All items as candidates of every query, named by the first origin in the order of their numbers."""
    n = len(queries)
    ranks = np.full((n * n_items, len(origins)), np.nan, np.float32)
    ranks[:, 0] = np.tile(np.arange(1, n_items + 1), n)
    return Candidates(
        origins=origins,
        indptr=np.arange(n + 1, dtype=np.int64) * n_items,
        items=np.tile(np.arange(n_items, dtype=np.int32), n),
        ranks=ranks,
        scores=-ranks,
    )

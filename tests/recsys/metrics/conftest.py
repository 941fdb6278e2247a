"""Tiny hand-made splits and lists."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from recsys.data.interactions import Interactions
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations

Pairs = Sequence[tuple[int, int]]
Users = Sequence[int] | None


@pytest.fixture
def touched() -> Callable[..., Interactions]:
    """Interactions from (user, item) pairs."""

    def build(pairs: Pairs, n_users: int = 3, n_items: int = 6) -> Interactions:
        rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        time = np.arange(len(rows)).astype("datetime64[s]")
        return Interactions.of(user=rows[:, 0], item=rows[:, 1], time=time, n_users=n_users, n_items=n_items)

    return build


@pytest.fixture
def listed() -> Callable[..., Recommendations]:
    """Recommendations of these lists to these users; scores fall from place to place."""

    def build(places: Sequence[Sequence[int]], seen: Interactions, users: Users = None) -> Recommendations:
        items = np.array(places, dtype=np.int32)
        who = np.arange(len(items)) if users is None else np.array(users)
        scores = np.where(items >= 0, -np.arange(items.shape[1], dtype=np.float32), np.nan).astype(np.float32)
        return Recommendations(queries=Queries.of(seen, who), items=items, scores=scores, model="by hand")

    return build

"""Lists and labelled catalogues that the tests of several rerankers share."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations


@pytest.fixture
def ranked() -> Callable[..., Recommendations]:
    """Lists written down: items best first, scores that default to falling by one, users that default to nobody."""

    def make(
        data: Dataset,
        items: Sequence[Sequence[int]],
        scores: Sequence[Sequence[float]] | None = None,
        users: Sequence[int] | None = None,
    ) -> Recommendations:
        numbers = np.array(items, np.int32)
        falling = np.where(numbers < 0, np.nan, np.arange(numbers.shape[1], 0, -1))
        return Recommendations(
            queries=Queries.of(data.interactions, np.array(users if users else [-1] * len(numbers))),
            items=numbers,
            scores=np.array(falling if scores is None else scores, np.float32),
            model="written down",
        )

    return make


def sampled(
    data: Dataset, rng: np.random.Generator, *, n: int = 20, m: int = 10, users: Sequence[int] | None = None
) -> Recommendations:
    """Random lists of m distinct items with random scores."""
    items = np.array([rng.permutation(len(data.items))[:m] for _ in range(n)], np.int32)
    return Recommendations(
        queries=Queries.of(data.interactions, np.array(users if users is not None else [-1] * n)),
        items=items,
        scores=-np.sort(-rng.normal(size=(n, m)), axis=1).astype(np.float32),
        model="random",
    )

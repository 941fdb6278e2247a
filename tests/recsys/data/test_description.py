from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.dataset import Dataset
from recsys.data.description import describe, gini

Make = Callable[..., Dataset]


def test_counts_of_a_log_that_fits_on_the_screen(make: Make) -> None:
    found = describe(make([(0, 0, 0), (0, 0, 86_400, 1), (0, 1, 86_400), (1, 1, 172_800)], n_users=4, n_items=4))
    assert (found.n_users, found.n_items, found.n_interactions) == (4, 4, 4)
    assert found.density == 3 / 16  # the pair (0, 0) comes twice
    assert (str(found.first), str(found.last), found.days) == ("1970-01-01T00:00:00", "1970-01-03T00:00:00", 2.0)
    assert found.kinds == {"view": 3, "buy": 1}
    assert (found.per_user[0], found.per_user[2], found.per_user[-1]) == (1, 2, 3)
    assert (found.cold_users, found.cold_items) == (0.5, 0.5)
    assert found.popularity_gini == 0.5  # rows per item 2, 2, 0, 0
    assert dict(found.rows())["interactions"] == "4"


def test_an_empty_log_is_described_too(make: Make) -> None:
    found = describe(make([], n_users=2, n_items=3))
    assert (found.n_interactions, found.cold_users, found.density) == (0, 1.0, 0.0)
    assert np.isnan(found.popularity_gini)
    assert len(found.rows()) == 12


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12).filter(any))
def test_gini_is_half_the_mean_difference_over_the_mean(counts: list[int]) -> None:
    values = np.array(counts)
    expected = np.abs(values[:, None] - values[None]).mean() / (2 * values.mean())
    assert gini(values) == pytest.approx(expected, abs=1e-12)

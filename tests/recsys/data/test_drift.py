from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.dataset import Dataset
from recsys.data.drift import measure_drift, psi

Make = Callable[..., Dataset]
HISTOGRAMS = st.lists(st.integers(0, 1000), min_size=4, max_size=4).map(np.array)


def test_new_users_and_items_of_the_last_slice(make: Make) -> None:
    # the last quarter starts at second 75: users 0 and 2 come, 2 is new; items 0, 5, 5, 6, where 5 and 6 are new
    log = [(0, 0, 0), (1, 1, 50), (0, 0, 80), (2, 5, 90), (0, 5, 95), (2, 6, 100)]
    found = measure_drift(make(log).interactions)
    assert str(found.slice_start) == "1970-01-01T00:01:15"
    assert (found.new_users, found.new_items, found.new_item_rows) == (1 / 2, 2 / 3, 3 / 4)


def test_weeks_are_counted_from_the_first_row_and_the_unfinished_one_is_not(make: Make) -> None:
    week = 7 * 86_400
    log = [(0, 0, w * week + i) for w, n in enumerate((3, 1, 2)) for i in range(n)]
    assert measure_drift(make(log).interactions).weekly_rows == (3, 1)


def test_a_planted_shift_of_popularity_is_seen_and_a_steady_log_is_calm(rng: np.random.Generator, make: Make) -> None:
    item = np.minimum(rng.geometric(0.05, size=8_000) - 1, 99)
    time = np.sort(rng.integers(0, 1_000_000, size=8_000))
    steady = make([(0, int(i), int(t)) for i, t in zip(item, time, strict=True)], n_items=100)
    turned = make([(0, int(i if t < 750_000 else 99 - i), int(t)) for i, t in zip(item, time, strict=True)])
    assert measure_drift(steady.interactions).popularity_psi < 0.05
    assert measure_drift(turned.interactions).popularity_psi > 1.0


@pytest.mark.parametrize("log", [[], [(0, 0, 7), (1, 1, 7)]])
def test_drift_of_a_log_without_times_is_nan(make: Make, log: list[tuple[int, ...]]) -> None:
    found = measure_drift(make(log).interactions)
    assert np.isnan([found.new_users, found.new_items, found.popularity_psi, found.weekly_psi]).all()


def test_one_slice_has_nothing_to_compare_with(make: Make) -> None:
    with pytest.raises(ValueError, match="slices must be >= 2, got 1"):
        measure_drift(make([(0, 0, 0), (0, 0, 9)]).interactions, slices=1)


@given(HISTOGRAMS, HISTOGRAMS)
def test_psi_is_symmetric_and_zero_only_without_a_shift(one: np.ndarray, other: np.ndarray) -> None:
    assert psi(one, other) == pytest.approx(psi(other, one))
    assert psi(one, other) >= -1e-12
    assert psi(one, one) == pytest.approx(0.0)


def test_psi_by_hand() -> None:
    # shares (.5, .5) against (.25, .75), exactly, as the half rows are included: 1 of 2 and 1 of 4
    assert psi(np.array([0.5, 0.5]), np.array([0.5, 2.5])) == pytest.approx(-0.25 * np.log(0.5) + 0.25 * np.log(1.5))

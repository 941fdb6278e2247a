from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.dataset import Dataset
from recsys.data.problems import DataError
from recsys.data.windows import Rolling, rolling

Make = Callable[..., Dataset]
DAY = 86_400
LOGS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 8), st.integers(0, 90), st.integers(0, 1)), min_size=10, max_size=80
)


def days(make: Make, n: int = 20) -> Dataset:
    return make([(day % 3, day, day * DAY) for day in range(n)])


def items(cut: Rolling) -> list[list[int]]:
    return [window.truth.interactions.item.tolist() for window in (*cut.validation, *cut.windows)]


def test_durations_count_back_from_the_end_of_the_log(make: Make) -> None:
    cut = rolling(days(make), windows=2, every="3d", validation=1)
    # the log ends with the second 19 * DAY: the three days before its end hold the rows of days 17, 18 and 19
    assert items(cut) == [[11, 12, 13], [14, 15, 16], [17, 18, 19]]
    assert [str(window.start) for window in cut.windows] == ["1970-01-14T00:00:01", "1970-01-17T00:00:01"]
    assert cut.windows[0].end == cut.windows[1].start


def test_shares_are_of_all_rows_and_history_grows(make: Make) -> None:
    cut = rolling(days(make), windows=3, every=0.1, validation=2)
    assert items(cut) == [[10, 11], [12, 13], [14, 15], [16, 17], [18, 19]]
    assert [len(window.seen.interactions) for window in (*cut.validation, *cut.windows)] == [10, 12, 14, 16, 18]
    assert all(window.seen.users is cut.windows[0].truth.users for window in cut.windows)


def test_a_window_may_be_shorter_than_the_step(make: Make) -> None:
    assert items(rolling(days(make), windows=2, every=0.2, size=0.05, validation=1)) == [[11], [15], [19]]
    assert items(rolling(days(make), windows=2, every="4d", size="1d", validation=1)) == [[11], [15], [19]]


def test_rows_of_the_same_second_stay_together(make: Make) -> None:
    log = [(0, i, 0) for i in range(6)] + [(u, 7, 5) for u in range(3)] + [(0, 8, 9)]
    cut = rolling(make(log), windows=1, every=0.1, validation=1)
    # the validation window would begin in the middle of the second 5
    assert [len(part) for part in items(cut)] == [3, 1]


@given(log=LOGS, every=st.sampled_from([0.1, 0.15, "5s", "9s"]), windows=st.integers(1, 4))
def test_no_row_of_a_window_is_seen_before_it_or_judges_twice(
    make: Make, log: list[tuple[int, ...]], every: float | str, windows: int
) -> None:
    dataset = make(log)
    try:
        cut = rolling(dataset, windows=windows, every=every, validation=1)
    except ValueError:  # hypothesis also draws logs that are too small to cut
        return
    every_one = (*cut.validation, *cut.windows)
    for window, following in zip(every_one, [*every_one[1:], None], strict=True):
        seen, truth = window.seen.interactions, window.truth.interactions
        assert (seen.time < window.start).all()
        assert ((truth.time >= window.start) & (truth.time < window.end)).all()
        assert len(seen) == (dataset.interactions.time < window.start).sum()
        assert following is None or window.end <= following.start
    judged = sum(len(window.truth.interactions) for window in every_one)
    assert judged == (dataset.interactions.time >= every_one[0].start).sum()
    assert every_one[-1].end > dataset.interactions.time[-1]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"windows": 0}, "windows must be a whole number >= 1, got 0"),
        ({"validation": True}, "validation must be a whole number >= 1, got True"),
        ({"every": "1 moon"}, r'every must be a duration such as "90d"'),
        ({"every": 1.5}, "every must be a duration .* or a share of the rows between 0 and 1, got 1.5"),
        ({"every": "0d"}, "every must be a duration"),
        ({"every": "90d", "size": 0.1}, "every and size must both be durations or both be shares"),
        ({"every": "1d", "size": "2d"}, "size must be no more than every, got '2d' and '1d'"),
        ({"every": 0.1, "windows": 9, "validation": 1}, "takes all 20 rows, none is left to learn from"),
        ({"every": "2d", "windows": 9, "validation": 1}, "leaves validation window 1 .* with nothing before it"),
        ({"every": "6h", "windows": 2, "validation": 1}, "with no rows to judge by; the log covers 1970-01-01"),
        ({"every": 0.01, "windows": 2, "validation": 1}, "with no rows to judge by"),
    ],
)
def test_windows_that_cannot_be_cut_say_why(make: Make, params: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rolling(days(make), **params)  # type: ignore[arg-type]


def test_a_log_without_times_has_no_windows(make: Make) -> None:
    with pytest.raises(DataError, match="has no times"):
        rolling(make([(u, i, 0) for u in range(4) for i in range(5)]))


def test_the_default_windows_are_the_last_quarter_of_the_log(make: Make) -> None:
    rng = np.random.default_rng(3)
    log = [(int(rng.integers(9)), int(rng.integers(30)), second) for second in range(1_000)]
    cut = rolling(make(log))
    assert [len(window.truth.interactions) for window in cut.windows] == [30] * 8
    assert [len(window.truth.interactions) for window in cut.validation] == [30] * 3

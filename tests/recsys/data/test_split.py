from collections import Counter
from collections.abc import Callable
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.dataset import Dataset
from recsys.data.problems import DataError
from recsys.data.split import SPLITS, Split, leave_last_out, random_holdout, split, temporal

Make = Callable[..., Dataset]
DAY = 86_400
LOGS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 8), st.integers(0, 50), st.integers(0, 1)), min_size=4, max_size=80
)


def rows(dataset: Dataset) -> Counter[tuple[int, ...]]:
    log = dataset.interactions
    columns = (log.user, log.item, log.time.astype(int), log.kind)
    return Counter(zip(*(column.tolist() for column in columns), strict=True))


def cut_or_none(cut: Callable[[], Split]) -> Split | None:
    try:
        return cut()
    except ValueError:  # hypothesis also draws logs that are too small to cut
        return None


def days(make: Make, n: int = 10) -> Dataset:
    return make([(0, day, day * DAY) for day in range(n)])


def test_durations_count_back_from_the_end_of_the_log(make: Make) -> None:
    cut = temporal(days(make), validation="2d", test="3d")
    # the log ends with the second 9 * DAY: the 3 days before its end hold the rows of days 7, 8 and 9
    assert cut.test.interactions.item.tolist() == [7, 8, 9]
    assert cut.validation.interactions.item.tolist() == [5, 6]
    assert cut.cutoffs == ("1970-01-05T00:00:01", "1970-01-07T00:00:01")


def test_dates_are_the_first_moment_of_their_part(make: Make) -> None:
    cut = temporal(days(make), validation="1970-01-05", test=date(1970, 1, 8))
    assert cut.validation.interactions.item.tolist() == [4, 5, 6]
    assert cut.test.interactions.item.tolist() == [7, 8, 9]
    assert cut.cutoffs == ("1970-01-05T00:00:00", "1970-01-08T00:00:00")


def test_a_time_with_zone_is_read_as_such(make: Make) -> None:
    cut = temporal(days(make), validation=0.2, test="1970-01-08T01:00:00+02:00")
    assert cut.cutoffs[1] == "1970-01-07T23:00:00"


def test_shares_are_of_all_rows(make: Make) -> None:
    cut = temporal(days(make, 20), validation=0.2, test=0.1)
    assert [len(part.interactions) for part in (cut.train, cut.validation, cut.test)] == [14, 4, 2]


def test_rows_of_the_cut_second_stay_together(make: Make) -> None:
    cut = temporal(make([(0, 0, 0), (0, 1, 5), *((u, 2, 9) for u in range(8))]), validation=0.1, test=0.1)
    assert (len(cut.validation.interactions), len(cut.test.interactions)) == (1, 8)


@given(
    log=LOGS,
    validation=st.sampled_from([0.1, 0.3, "5s"]),
    test=st.sampled_from([0.1, 0.3, "9s", "1970-01-01T00:00:30"]),
)
def test_no_row_crosses_the_temporal_cutoffs(
    make: Make, log: list[tuple[int, ...]], validation: float, test: float
) -> None:
    dataset = make(log)
    if cut := cut_or_none(lambda: temporal(dataset, validation=validation, test=test)):
        first, second = (np.datetime64(moment) for moment in cut.cutoffs)
        assert (cut.train.interactions.time < first).all()
        assert ((cut.validation.interactions.time >= first) & (cut.validation.interactions.time < second)).all()
        assert (cut.test.interactions.time >= second).all()


@given(log=LOGS, method=st.sampled_from(sorted(SPLITS)))
def test_parts_are_disjoint_and_make_the_whole(make: Make, log: list[tuple[int, ...]], method: str) -> None:
    dataset = make(log)
    if cut := cut_or_none(lambda: split(dataset, method)):
        parts = (cut.train, cut.validation, cut.test)
        assert rows(parts[0]) + rows(parts[1]) + rows(parts[2]) == rows(dataset)
        assert all(len(part.interactions) and part.users is dataset.users for part in parts)
        assert rows(cut.refit()) == rows(cut.train) + rows(cut.validation)


@given(log=LOGS, n_validation=st.integers(1, 2), n_test=st.integers(1, 2), min_train=st.integers(1, 3))
def test_leave_last_out_takes_the_last_of_each_user(
    make: Make, log: list[tuple[int, ...]], n_validation: int, n_test: int, min_train: int
) -> None:
    dataset = make(log)
    cut = cut_or_none(lambda: leave_last_out(dataset, n_validation=n_validation, n_test=n_test, min_train=min_train))
    for user in range(dataset.interactions.n_users if cut else 0):
        assert cut is not None
        times = [
            part.interactions.time[part.interactions.user == user] for part in (cut.train, cut.validation, cut.test)
        ]
        total = sum(map(len, times))
        enough = total >= n_validation + n_test + min_train
        assert [len(t) for t in times[1:]] == ([n_validation, n_test] if enough else [0, 0])
        if enough:
            assert times[0].max() <= times[1].min()
            assert times[1].max() <= times[2].min()


def test_ties_go_by_item_and_kind_whatever_the_order_of_the_rows(make: Make) -> None:
    log = [(0, 1, 5, 1), (0, 1, 5, 0), (0, 0, 5, 0), (0, 2, 0, 0)]
    for order in (log, log[::-1]):
        cut = leave_last_out(make(order))
        assert rows(cut.test) == Counter([(0, 1, 5, 1)])
        assert rows(cut.validation) == Counter([(0, 1, 5, 0)])


def test_random_holdout_repeats_with_its_seed_only(make: Make) -> None:
    dataset = days(make, 100)
    first, same, other = (random_holdout(dataset, validation=0.2, test=0.3, seed=s) for s in (1, 1, 2))
    assert [len(p.interactions) for p in (first.train, first.validation, first.test)] == [50, 20, 30]
    assert first.test.fingerprint == same.test.fingerprint != other.test.fingerprint


def test_a_log_without_times_is_not_cut_by_time(make: Make) -> None:
    timeless = make([(u, i, 0) for u in range(4) for i in range(5)])
    for method in ("temporal", "leave_last_out"):
        with pytest.raises(DataError, match=r"has no times; use random_holdout"):
            split(timeless, method)
    assert len(split(timeless, "random_holdout").test.interactions) == 2


@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        ("temporal", {"test": "1 moon"}, r'test must be a duration such as "14d"'),
        ("temporal", {"test": 3}, "test must be a duration"),
        ("temporal", {"test": 1.5}, "test must be a duration"),
        ("temporal", {"test": "300d"}, "validation"),
        ("temporal", {"test": "2030-01-01"}, "leaves test of 'tiny' empty: the log covers 1970-01-01"),
        ("temporal", {"validation": "20d"}, "leaves train of 'tiny' empty"),
        ("temporal", {"validation": "1970-01-10", "test": "1970-01-09"}, "must start before the test"),
        ("temporal", {"tests": 0.1}, "has no parameter 'tests'; did you mean 'test'"),
        ("leave_last_out", {"n_test": 0}, "n_test must be a whole number >= 1, got 0"),
        ("leave_last_out", {"min_train": 9}, "no user has 11 rows; ask for fewer"),
        ("random_holdout", {"test": 1.0}, "test must be a share"),
        ("random_holdout", {"test": 0.01}, "leaves test of 'tiny' empty"),
        ("given", {}, "'tiny' brings no test: it has rows of kind view, buy"),
        ("given", {"validation": 2.0}, "validation must be a share"),
    ],
)
def test_a_cut_that_cannot_be_made_says_why(make: Make, method: str, params: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split(days(make), method, **params)


def test_an_unknown_method_is_answered_with_the_nearest(make: Make) -> None:
    with pytest.raises(LookupError, match="did you mean 'temporal'"):
        split(days(make), "temporl")

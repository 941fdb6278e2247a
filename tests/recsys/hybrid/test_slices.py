import numpy as np
import pytest

from recsys.hybrid.slices import Slice, moments_of
from tests.worlds import dataset

DATA = dataset([(0, 0), (1, 1), (0, 2), (1, 3), (0, 4), (1, 5), (0, 6), (0, 7)], n_users=2, n_items=8)


def later(cut: Slice) -> list[int]:
    past, rows = cut.cut(DATA, seed=0)
    assert len(past.interactions) + len(rows.interactions) == len(DATA.interactions)
    return rows.interactions.item.tolist()


def test_a_slice_by_time_is_the_end_for_everybody() -> None:
    assert later(Slice(size=0.25)) == [6, 7]
    assert later(Slice(days=3)) == [5, 6, 7]


def test_rows_of_the_second_of_the_cut_are_later_ones() -> None:
    data = dataset([(0, i) for i in range(4)], n_users=1, n_items=4, days=[0, 1, 1, 1])
    past, rows = Slice(size=0.25).cut(data, 0)
    assert (past.interactions.item.tolist(), rows.interactions.item.tolist()) == ([0], [1, 2, 3])


def test_a_slice_of_the_last_rows_is_of_each_user() -> None:
    assert later(Slice(by="last")) == [5, 7]
    assert later(Slice(by="last", rows=2)) == [3, 5, 6, 7]


def test_a_random_slice_is_the_same_for_the_same_seed() -> None:
    cut = Slice(by="random", size=0.5)
    assert later(cut) == later(cut)
    assert 0 < len(later(cut)) < 8


def test_users_are_asked_at_the_cutoff_or_when_they_came_back() -> None:
    rows = DATA.interactions.where(DATA.interactions.item >= 5)
    first = np.datetime64("2024-01-06")
    assert Slice().moments(rows, np.array([1, 0])).tolist() == [first.astype("datetime64[s]").item()] * 2  # type: ignore[union-attr]
    visits = Slice(ask="visit").moments(rows, np.array([1, 0]))
    assert visits is not None
    assert ((visits - first) / np.timedelta64(1, "D")).tolist() == [0, 1]
    assert Slice(by="last").moments(rows, np.array([0])) is None


def test_a_query_is_asked_after_its_history_and_not_before_what_is_known() -> None:
    times = np.array(["2024-01-01", "2024-01-05"], dtype="datetime64[s]")
    indptr, cutoff = np.array([0, 1, 2, 2]), np.datetime64("2024-01-03", "s")
    grown = np.datetime64("2024-01-05T00:00:01")
    assert moments_of(cutoff, indptr, times, by="time").tolist() == [cutoff, grown, cutoff]
    own = moments_of(cutoff, indptr, times, by="last")
    assert own.tolist() == [np.datetime64("2024-01-01T00:00:01"), grown, cutoff]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"size of the ranker's slice must be a finite number > 0 and <= 0\.9, got 1\.5"
    ):
        Slice(size=1.5)
    with pytest.raises(ValueError, match="days and ask are of a slice by time, this one is by 'last'"):
        Slice(by="last", days=3)

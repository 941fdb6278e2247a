from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.sources.columns import check_time_format, text, time_checks, times

MOMENT = 1_736_157_600  # 2025-01-06 10:00 UTC
MISSING = ("", "NA")


def seconds(values: list[object], form: str = "auto") -> list[float | None]:
    read = times(pl.Series(values, strict=False), form)
    return [None if micro is None else micro / 1e6 for micro in read]


@pytest.mark.parametrize(
    "written",
    [
        str(MOMENT),
        f"{MOMENT}.0",
        f"{MOMENT}000",
        MOMENT,
        MOMENT * 1000,
        float(MOMENT),
        "2025-01-06 10:00",
        "2025-01-06 10:00:00",
        "2025-01-06T10:00:00.000",
        "2025-01-06T10:00:00Z",
        "2025-01-06T12:00:00+02:00",
        "2025-01-06T05:00-0500",
        datetime(2025, 1, 6, 10),
        datetime(2025, 1, 6, 10, tzinfo=UTC),
        datetime(2025, 1, 6, 5, tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_the_same_moment_in_many_ways_of_writing(written: object) -> None:
    assert seconds([written]) == [MOMENT]


def test_days_begin_at_midnight() -> None:
    assert (
        seconds(["2025-01-06"]) == seconds([date(2025, 1, 6)]) == seconds(["6.1.2025"], "%d.%m.%Y") == [1_736_121_600]
    )


def test_patterns_and_units_are_taken_at_their_word() -> None:
    assert seconds(["06/01/2025 10:00"], "%d/%m/%Y %H:%M") == [MOMENT]
    assert seconds(["06/01/2025 12:00 +0200"], "%d/%m/%Y %H:%M %z") == [MOMENT]
    assert seconds([5000], "milliseconds") == [5.0]
    assert seconds([5_000_000], "microseconds") == [5.0]


def test_what_is_no_time_is_null_what_is_too_large_is_the_year_10000_and_one_typo_does_not_change_the_unit() -> None:
    assert seconds(["1736157600", "x", "99999999999999", "1736157601"]) == [MOMENT, None, 253_402_300_800, MOMENT + 1]
    assert seconds(["2025-02-30", "2025-01-06 10:00", "7"], "iso") == [None, MOMENT, None]
    assert seconds([True, False]) == [None, None]


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)))
def test_iso_text_is_read_as_python_reads_it(moment: datetime) -> None:
    expected = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert times(pl.Series([moment.isoformat()]), "iso").to_list() == [expected]


@pytest.mark.parametrize(
    ("not_after", "impossible"),
    [
        (None, [True, False, False, False]),
        ("2025-01-06", [True, False, False, True]),
        (date(2025, 1, 6), [True, False, False, True]),
        (datetime(2025, 1, 6, 10), [True, False, True, True]),
        ("2025-01-06T12:00:00+02:00", [True, False, True, True]),
    ],
)
def test_times_before_1970_or_after_the_last_possible_one(not_after: str | date | None, impossible: list[bool]) -> None:
    at = [-1, MOMENT * 10**6, (MOMENT + 1) * 10**6, (MOMENT + 50_400) * 10**6]  # the last is 2025-01-07 00:00
    frame = pl.DataFrame({"time": at, "at": at})
    check = next(check for check in time_checks(not_after) if check.kind == "impossible time")
    assert frame.select(check.bad).to_series().to_list() == impossible


def test_ids_of_every_type_become_the_same_text() -> None:
    columns = (pl.Series([7, 12]), pl.Series(["7", " 12 "]), pl.Series([7.0, 12.0]))
    assert {tuple(text(column, MISSING)) for column in columns} == {("7", "12")}
    assert text(pl.Series([7.0, None, float("nan")]), MISSING).to_list() == ["7", None, None]
    assert text(pl.Series(["NA", " ", "x"]), MISSING).to_list() == [None, None, "x"]
    assert text(pl.Series([7.5, 8.0]), MISSING).to_list() == ["7.5", "8.0"]


@pytest.mark.parametrize("call", [lambda: check_time_format("unix"), lambda: time_checks("soon")])
def test_a_format_or_limit_that_says_nothing_is_refused(call: object) -> None:
    with pytest.raises(ValueError, match=r"got '(unix|soon)'"):
        call()  # type: ignore[operator]

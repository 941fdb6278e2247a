"""Columns of any file to ids, numbers and times; rows where that fails become problems."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl

from recsys.data.problems import Problem
from recsys.data.sources.delimited import LINE

MICRO = 1_000_000
YEAR_10000 = 253_402_300_800 * MICRO
"""The first moment no calendar of ours can write; numbers beyond it are in another unit."""
MILLISECONDS_FROM = 1e11
"""Plain numbers from here on count milliseconds: as seconds they would be in the year 5138, as milliseconds in 1973."""
SCALES = {"seconds": MICRO, "milliseconds": 1_000, "microseconds": 1}
ISO_NAIVE = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
ISO_ZONED = ("%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M%z")


@dataclass(frozen=True)
class Check:
    """A way a row can be bad: what it is called, the rows it holds for, and the value to show."""

    kind: str
    bad: pl.Expr
    shown: pl.Expr


def sift(frame: pl.DataFrame, checks: Sequence[Check], path: Path) -> tuple[pl.DataFrame, list[Problem]]:
    """The rows that pass all checks, and the problems of the others, each under the first check it fails."""
    if not checks:
        return frame, []
    verdict = pl.coalesce(*(pl.when(check.bad.fill_null(False)).then(place) for place, check in enumerate(checks)))
    judged = frame.with_columns(verdict.alias("\0verdict"))
    bad = judged.filter(pl.col("\0verdict").is_not_null())
    problems = []
    for place, check in enumerate(checks):
        rows = bad.filter(pl.col("\0verdict") == place)
        problems.append(_problem(path, check.kind, rows, check.shown))
    return judged.filter(pl.col("\0verdict").is_null()).drop("\0verdict"), problems


def first_of(frame: pl.DataFrame, keys: Sequence[str], kind: str, path: Path) -> tuple[pl.DataFrame, list[Problem]]:
    """The first row of each combination of `keys`, and the problem of the later ones."""
    # exact comparison is slow, so only rows whose hash comes twice are compared
    hashes = frame.select(pl.struct(keys).hash()).to_series().to_numpy()
    ordered = np.sort(hashes)
    suspect = np.isin(hashes, ordered[1:][ordered[1:] == ordered[:-1]])
    first = ~suspect
    first[suspect] = frame.filter(suspect).select(pl.struct(keys).is_first_distinct()).to_series().to_numpy()
    shown = pl.concat_str([_readable(key).fill_null("") for key in keys], separator=", ")
    return frame.filter(first), [_problem(path, kind, frame.filter(~first), shown)]


def _readable(key: str) -> pl.Expr:
    column = pl.col(key)
    return (column.cast(pl.Datetime("us")) if key == "at" else column).cast(pl.String)


def _problem(path: Path, kind: str, rows: pl.DataFrame, shown: pl.Expr) -> Problem:
    values = rows.with_columns(shown.cast(pl.String).fill_null("").alias("\0shown"))["\0shown"]
    return Problem(file=str(path), kind=kind, lines=rows[LINE].to_numpy().astype(np.int64), values=tuple(values))


def text(column: pl.Series, missing: Sequence[str]) -> pl.Series:
    """Ids and names as text without outer white space; null where nothing is there."""
    if column.dtype.is_float():  # 17.0 is the id 17 in a table where some ids are missing
        column = column.fill_nan(None)
        whole = column.cast(pl.Int64, strict=False)
        column = whole if bool((whole.cast(column.dtype) == column).all()) else column
    return value(column.cast(pl.String), missing)


def value(column: pl.Series, missing: Sequence[str]) -> pl.Series:
    """The column with null where nothing is there; typed columns of a Parquet file stay as they are."""
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype != pl.String:
        return column
    stripped = column.str.strip_chars()
    return stripped.set(stripped.is_in(list(missing)), None)


def no_number(name: str, dtype: pl.DataType, *, needed: bool = False) -> Check:
    """The check that a column holds finite numbers (and, if needed, holds one in every row)."""
    numeric = dtype.is_numeric() or dtype == pl.String
    number = pl.col(name).cast(pl.Float64, strict=False) if numeric else pl.lit(None, pl.Float64)
    bad = number.is_null() | ~number.is_finite()
    return Check(f"{name} is no number", bad if needed else bad & pl.col(name).is_not_null(), pl.col(name))


def times(column: pl.Series, form: str) -> pl.Series:
    """Microseconds since 1970 in UTC (Int64), null where the value cannot be read in this format."""
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        zone = getattr(column.dtype, "time_zone", None)
        naive = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zone else column
        return naive.cast(pl.Datetime("us")).cast(pl.Int64)
    if not (column.dtype.is_numeric() or column.dtype == pl.String):
        return pl.Series([None] * len(column), dtype=pl.Int64)
    numbers = column.cast(pl.Float64, strict=False)
    if form == "auto":
        form = _guess(column, numbers)
    if form in SCALES:
        # clipped to what is impossible anyway: a number too large for 64 bits is not unreadable
        return (numbers * SCALES[form]).round().clip(-1, YEAR_10000).cast(pl.Int64, strict=False)
    written = column.cast(pl.String).to_frame("t")
    return written.select(_read_iso() if form == "iso" else _read_pattern(form)).to_series().cast(pl.Int64)


def time_checks(not_after: str | date | None) -> list[Check]:
    """The checks of `time` (as written) and `at` (as `times` read it)."""
    last = YEAR_10000 if not_after is None else min(_end_of(not_after), YEAR_10000)
    at, written = pl.col("at"), pl.col("time")
    return [
        Check("missing time", written.is_null(), pl.lit("")),
        Check("unreadable time", at.is_null(), written),
        Check("impossible time", (at < 0) | (at >= last), written),
    ]


def check_time_format(form: str) -> None:
    """Refuse a time format that is neither a known name nor a pattern."""
    known = ("auto", "iso", *SCALES)
    if form not in known and "%" not in form:
        raise ValueError(f'time_format must be {", ".join(known)} or a pattern such as "%d.%m.%Y", got {form!r}')


def _guess(column: pl.Series, numbers: pl.Series) -> str:
    """Numbers if at least half of what is there is; their unit from the median, so that one typo decides nothing."""
    if 2 * numbers.is_not_null().sum() < column.is_not_null().sum():
        return "iso"
    median = numbers.abs().median()
    return "milliseconds" if isinstance(median, float) and median >= MILLISECONDS_FROM else "seconds"


def _read_iso() -> pl.Expr:
    spaced = pl.col("t").str.replace("T", " ", literal=True).str.replace("Z$", "+00:00")
    naive = [spaced.str.strptime(pl.Datetime("us"), form, strict=False) for form in ISO_NAIVE]
    zoned = [spaced.str.strptime(pl.Datetime("us", "UTC"), form, strict=False) for form in ISO_ZONED]
    return pl.coalesce(*naive, *(each.dt.replace_time_zone(None) for each in zoned))


def _read_pattern(form: str) -> pl.Expr:
    if "%z" in form or "%#z" in form:
        return pl.col("t").str.strptime(pl.Datetime("us", "UTC"), form, strict=False).dt.replace_time_zone(None)
    if any(mark in form for mark in ("%H", "%I", "%T", "%R", "%s", "%c", "%X", "%+")):
        return pl.col("t").str.strptime(pl.Datetime("us"), form, strict=False)
    return pl.col("t").str.strptime(pl.Date, form, strict=False).cast(pl.Datetime("us"))


def _end_of(moment: str | date) -> int:
    """The microsecond after the last allowed one; a day is allowed whole."""
    try:
        whole_day = isinstance(moment, str) and len(moment.strip()) == len("2025-01-01")
        parsed = datetime.fromisoformat(moment.strip()) if isinstance(moment, str) else moment
    except ValueError:
        raise ValueError(f'not_after must be a day or time such as "2025-01-31", got {moment!r}') from None
    if not isinstance(parsed, datetime):
        parsed, whole_day = datetime(parsed.year, parsed.month, parsed.day), True
    utc = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return round(utc.timestamp() * MICRO) + (86_400 * MICRO if whole_day else 1)

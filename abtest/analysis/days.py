"""Calendar days of a log, in UTC whatever zone the engine's session is in."""

from datetime import UTC, date, datetime, timedelta

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

EPOCH = date(1970, 1, 1)
SECONDS = 86_400


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def epoch_us(at: ibis.dtype("timestamp")) -> int:  # type: ignore[valid-type,empty-body]
    """DuckDB's microseconds since 1970."""


def day_of(at: ir.TimestampColumn) -> ir.IntegerColumn:
    """The UTC day of a time, as days since 1970; `as_date` reads it back.

    A number, not a date: an engine that minds time zones takes ten times as long to make dates.
    """
    if isinstance(at.get_backend(), Backend):
        return epoch_us(at) // (SECONDS * 1_000_000)
    return at.epoch_seconds() // SECONDS


def as_date(day: int) -> date:
    """The date of a day that `day_of` counted."""
    return EPOCH + timedelta(days=day)


def utc(at: datetime) -> datetime:
    """The same moment with the zone UTC; a time without zone is UTC already."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def calendar(first: date, last: date) -> list[date]:
    """Every day from first to last, both included."""
    return [first + timedelta(days=i) for i in range((last - first).days + 1)]

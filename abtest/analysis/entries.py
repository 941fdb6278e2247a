"""Who came in: the exposed units by variant and by the day of their first exposure, from the table of them."""

from dataclasses import dataclass
from datetime import date, datetime

import ibis.expr.types as ir

from abtest.analysis.days import as_date, day_of, utc


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The units of one variant that came in on one UTC day, and all slates that they saw; several: those that saw more
    than one variant, of which `variant` is the first by its place in the experiment."""

    variant: str
    several: bool
    day: date
    units: int
    slates: int
    first: datetime


def entries(units: ir.Table) -> tuple[Entry, ...]:
    """Every day on which units came in, oldest first; units: from `units.first_exposures`."""
    by_day = units.group_by("variant", "several", day=day_of(units["first"])).agg(
        units=units.count(), slates=units.slates.sum(), first=units["first"].min()
    )
    rows = sorted(by_day.to_pyarrow().to_pylist(), key=lambda row: (row["day"], row["variant"], row["several"]))
    return tuple(
        Entry(
            variant=row["variant"],
            several=bool(row["several"]),
            day=as_date(row["day"]),
            units=int(row["units"]),
            slates=int(row["slates"]),
            first=utc(row["first"]),
        )
        for row in rows
    )

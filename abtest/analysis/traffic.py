"""How many units came in, and how many slates were shown, on each day of an experiment, by variant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import ibis

from abtest.analysis.analyse import EXPOSURE_COLUMNS, scope_of
from abtest.analysis.days import as_date, day_of
from abtest.analysis.engine import Source, check_columns, opened
from abtest.analysis.units import first_exposures, relevant_exposures
from abtest.types import Experiment


@dataclass(frozen=True, kw_only=True)
class DayCount:
    """One variant on one UTC day: units whose first exposure it was, and slates shown to anybody."""

    day: date
    variant: str
    units: int
    exposures: int


def by_day(experiment: Experiment, exposures: Source, *, as_of: datetime) -> tuple[DayCount, ...]:
    """Every day with exposures, oldest first, in the order of the variants.

    Units that saw several variants are left out of `units`, as the analysis leaves them out; their slates count.
    """
    scope = scope_of(experiment, as_of)
    with opened({"exposures": exposures}) as (shown,):
        check_columns(shown, "exposures", EXPOSURE_COLUMNS)
        units = first_exposures(shown, (), scope)
        entries = units.filter(~units.several).select("variant", day=day_of(units["first"]), entry=ibis.literal(1))
        slates = relevant_exposures(shown, scope)
        every = slates.select("variant", day=day_of(slates["at"]), entry=ibis.literal(0))
        both = ibis.union(entries, every)
        counted = both.group_by("day", "variant").agg(
            units=both.entry.sum(), exposures=both.count(where=both.entry == 0)
        )
        rows = counted.to_pyarrow().to_pylist()
    order = [variant.name for variant in experiment.variants]
    found = [DayCount(**{**row, "day": as_date(row["day"]), "units": int(row["units"])}) for row in rows]
    return tuple(sorted(found, key=lambda row: (row.day, order.index(row.variant))))


def cumulative_units(counts: Sequence[DayCount]) -> tuple[int, ...]:
    """Units over all variants by the end of each day on which any slate was shown, oldest first."""
    total, found = 0, dict[date, int]()
    for row in counts:
        total += row.units
        found[row.day] = total
    return tuple(found.values())

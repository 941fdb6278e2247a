"""How many units came in, and how many slates were shown, on each day of an experiment, by variant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from abtest.analysis.analyse import EXPOSURE_COLUMNS, scope_of
from abtest.analysis.days import as_date, day_of
from abtest.analysis.engine import Source, check_columns, opened
from abtest.analysis.entries import entries
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
        entered = entries(first_exposures(shown, (), scope))
        slates = relevant_exposures(shown, scope)
        counted = slates.group_by("variant", day=day_of(slates["at"])).agg(exposures=slates.count())
        rows = counted.to_pyarrow().to_pylist()
    units = {(entry.day, entry.variant): entry.units for entry in entered if not entry.several}
    found = [
        DayCount(day=day, variant=row["variant"], units=units.get((day, row["variant"]), 0), exposures=row["exposures"])
        for row in rows
        for day in [as_date(row["day"])]
    ]
    order = [variant.name for variant in experiment.variants]
    return tuple(sorted(found, key=lambda row: (row.day, order.index(row.variant))))


def cumulative_units(counts: Sequence[DayCount]) -> tuple[int, ...]:
    """Units over all variants by the end of each day on which any slate was shown, oldest first."""
    total, found = 0, dict[date, int]()
    for row in counts:
        total += row.units
        found[row.day] = total
    return tuple(found.values())

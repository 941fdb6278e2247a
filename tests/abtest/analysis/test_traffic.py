"""Units and slates by day, by hand."""

from datetime import UTC, date, datetime, timedelta

import pytest

from abtest.analysis.analyse import analyse
from abtest.analysis.traffic import DayCount, by_day, cumulative_units
from abtest.events.memory import MemoryLog
from abtest.types import Experiment, Exposure, Metric, Variant

START = datetime(2025, 1, 6, tzinfo=UTC)
PLAN = Experiment(key="e", variants=(Variant(name="a", weight=0.5), Variant(name="b", weight=0.5)))


@pytest.fixture
def log() -> MemoryLog:
    """u1 sees a on both days, u2 b on the second, u3 both variants; u4 belongs to another experiment."""
    shown = [("u1", "a", 0, "e"), ("u1", "a", 1, "e"), ("u2", "b", 1, "e"), ("u3", "a", 0, "e"), ("u3", "b", 1, "e")]
    events = [
        Exposure(id=f"x{n}", unit=unit, experiment=key, variant=variant, at=START + timedelta(days=day, hours=n))
        for n, (unit, variant, day, key) in enumerate([*shown, ("u4", "a", 0, "other")])
    ]
    log = MemoryLog()
    log.append(events)
    return log


def test_units_count_on_their_first_day_and_slates_on_every_day(log: MemoryLog) -> None:
    counts = by_day(PLAN, log.exposures(), as_of=START + timedelta(days=9))
    assert counts == (
        DayCount(day=date(2025, 1, 6), variant="a", units=1, exposures=2),
        DayCount(day=date(2025, 1, 7), variant="a", units=0, exposures=1),
        DayCount(day=date(2025, 1, 7), variant="b", units=1, exposures=2),
    )
    assert cumulative_units(counts) == (1, 2)


def test_units_agree_with_the_analysis(log: MemoryLog) -> None:
    as_of = START + timedelta(days=9)
    metric = Metric(name="shown", kind="mean", numerator="exposures")
    arms = analyse(PLAN, [metric], log.exposures(), log.outcomes(), as_of=as_of).arms
    counts = by_day(PLAN, log.exposures(), as_of=as_of)
    assert {arm.variant: arm.units for arm in arms} == {
        name: sum(row.units for row in counts if row.variant == name) for name in ("a", "b")
    }


def test_what_comes_after_as_of_is_left_out_and_nothing_is_nothing(log: MemoryLog) -> None:
    assert len(by_day(PLAN, log.exposures(), as_of=START + timedelta(hours=20))) == 1
    assert by_day(PLAN, log.exposures("nobody"), as_of=START + timedelta(days=9)) == ()

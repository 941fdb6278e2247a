"""The log is counted: who came in when, and slates by name only where some of them do not belong."""

from datetime import timedelta
from typing import Any

import pytest

from abtest.analysis.engine import opened
from abtest.analysis.entries import Entry
from abtest.analysis.health import Log, look
from abtest.analysis.units import Scope, first_exposures
from tests.abtest.analysis.worlds import AS_OF, START, events, exposure

SCOPE = Scope(
    experiment="exp", variants=("control", "treatment"), as_of=AS_OF, starts=START, ends=START + timedelta(hours=48)
)
SHOWN = [
    exposure("a", "control", 1),
    exposure("a", "control", 30),
    exposure("b", "treatment", 2),
    exposure("c", "treatment", 25),
    exposure("c", "control", 26),
]


def looked(shown: list[dict[str, Any]]) -> Log:
    with opened({"exposures": events(shown, []).exposures}) as (table,):
        return look(table, table, (), SCOPE, first_exposures(table, (), SCOPE).cache())


def test_units_are_counted_on_the_day_of_their_first_exposure() -> None:
    log = looked(SHOWN)
    day = START.date()
    assert log.entered == (
        entry("control", day, slates=2, first=START + timedelta(hours=1)),
        entry("treatment", day, slates=1, first=START + timedelta(hours=2)),
        entry("control", day + timedelta(days=1), slates=2, first=START + timedelta(hours=25), several=True),
    )
    assert (log.slates, log.first, log.last) == ((), START + timedelta(hours=1), START + timedelta(hours=30))


def entry(variant: str, day: Any, *, slates: int, first: Any, several: bool = False) -> Entry:
    return Entry(variant=variant, several=several, day=day, units=1, slates=slates, first=first)


@pytest.mark.parametrize(
    ("odd", "named"),
    [
        (exposure("d", "ghost", 40), ("ghost", 1, 0, 0)),
        (exposure("d", "control", 50), ("control", 3, 1, 0)),
        (exposure("d", "control", -1), ("control", 3, 1, 0)),
        (exposure("a", "control", 29, context='{"fallback":true}'), ("control", 4, 0, 1)),
    ],
    ids=["of an unknown variant", "after the end", "before the start", "of a fallback"],
)
def test_one_slate_that_does_not_belong_is_found_by_name(odd: dict[str, Any], named: tuple[Any, ...]) -> None:
    log = looked([*SHOWN, odd])
    assert named in [(row.variant, row.inside, row.outside, row.fallbacks) for row in log.slates]
    assert log.last == START + timedelta(hours=30)


def test_slates_of_tomorrow_and_of_other_experiments_are_not_looked_at() -> None:
    others = [exposure("d", "ghost", 24 * 40), exposure("d", "ghost", 3, experiment="else")]
    assert looked([*SHOWN, *others]).slates == ()
    assert looked([]).last is None

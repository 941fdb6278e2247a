"""The pace of a log, by hand."""

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from abtest.assignment.holdout import EVERYBODY, companion
from abtest.events.pace import pace
from abtest.events.postgres import PostgresLog
from abtest.events.sqlite import SQLiteLog
from abtest.types import Exposure, Outcome
from tests.postgres import Server

NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)


def exposure(n: int, at: datetime, *, fallback: bool = False) -> Exposure:
    return Exposure(id=f"e{n}", unit=f"u{n}", experiment="e", variant="a", at=at, context={"fallback": fallback})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Slates at 9:10, 9:50 (a fallback's) and 12:30, an outcome at 12:40."""
    with SQLiteLog(tmp_path / "events.sqlite") as log:
        log.append(
            [
                exposure(1, NOON - timedelta(hours=2, minutes=50)),
                exposure(2, NOON - timedelta(hours=2, minutes=10), fallback=True),
                exposure(3, NOON + timedelta(minutes=30)),
                Outcome(id="o", unit="u3", kind="click", at=NOON + timedelta(minutes=40)),
            ]
        )
    return tmp_path / "events.sqlite"


def test_hours_are_counted_up_to_the_newest_slate_with_the_empty_ones(path: Path) -> None:
    found = pace(path, timedelta(hours=1), 4)
    assert [(step.start.hour, step.exposures, step.fallbacks) for step in found.steps] == [
        (9, 2, 1), (10, 0, 0), (11, 0, 0), (12, 1, 0),
    ]  # fmt: skip
    assert found.fallback_share == pytest.approx(1 / 3)


def test_last_event_of_either_kind_is_told(path: Path) -> None:
    found = pace(path)
    assert found.last_exposure == NOON + timedelta(minutes=30)
    assert found.last == found.last_outcome == NOON + timedelta(minutes=40)


def test_what_came_before_the_steps_is_left_out(path: Path) -> None:
    assert sum(step.exposures for step in pace(path, timedelta(minutes=1), 60).steps) == 1


def test_missing_and_empty_logs_have_no_pace_and_are_not_made(tmp_path: Path) -> None:
    found = pace(tmp_path / "none.sqlite")
    assert found.last is None
    assert found.steps == ()
    assert math.isnan(found.fallback_share)
    assert not (tmp_path / "none.sqlite").exists()
    SQLiteLog(tmp_path / "empty.sqlite").close()
    assert pace(tmp_path / "empty.sqlite").last is None


def test_impossible_steps_are_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="step must be > 0"):
        pace(path, timedelta(0))


def test_a_slate_that_is_logged_under_the_holdout_as_well_counts_once(path: Path) -> None:
    before = pace(path, timedelta(hours=1), 4)
    with SQLiteLog(path) as log:
        log.append([companion(exposure(3, NOON + timedelta(minutes=30)), EVERYBODY)])
    assert pace(path, timedelta(hours=1), 4) == before


def test_postgres_says_the_same(path: Path) -> None:
    database = Server.make()
    try:
        with SQLiteLog(path) as log, PostgresLog(database.dsn) as other:
            assert other.pace(timedelta(hours=1), 4).last is None
            other.append([Exposure(**{**row, **read(row)}) for row in log.exposures().to_pylist()])
            other.append([Outcome(**row) for row in log.outcomes().to_pylist()])
            other.append([companion(exposure(1, NOON - timedelta(hours=2, minutes=50)), EVERYBODY)])
            for step, steps in ((timedelta(hours=1), 4), (timedelta(minutes=1), 60), (timedelta(days=1), 2)):
                assert other.pace(step, steps) == pace(path, step, steps)
    finally:
        database.close()


def read(row: dict[str, Any]) -> dict[str, Any]:
    """The fields of a logged exposure that the log keeps as text or lists."""
    lists = {name: tuple(row[name]) for name in ("items", "scores", "propensities")}
    return {**lists, "context": json.loads(row["context"])}

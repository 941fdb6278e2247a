"""Small events, and a log of several days."""

from datetime import UTC, datetime, timedelta

import pytest

from abtest.events.memory import MemoryLog
from abtest.types import Exposure, Outcome

MONDAY = datetime(2025, 1, 6, 9, tzinfo=UTC)


@pytest.fixture
def log() -> MemoryLog:
    """Three days: six exposures in two experiments, units u0..u3; an outcome of each unit and of a stranger."""
    filled = MemoryLog()
    filled.append(
        [
            Exposure(
                id=f"e{i}",
                unit=f"u{i % 4}",
                experiment="ranker" if i < 4 else "layout",
                variant="ab"[i % 2],
                at=MONDAY + timedelta(hours=9 * i),
                items=("café", f"item {i}"),
                scores=(0.5, float("nan")),
                context={"page": i},
            )
            for i in range(6)
        ]
    )
    filled.append(
        [
            Outcome(id=f"o{i}", unit=unit, kind="click", at=MONDAY + timedelta(hours=10 * i), value=i / 2, item="café")
            for i, unit in enumerate(["u0", "u1", "u2", "u3", "stranger"])
        ]
    )
    return filled

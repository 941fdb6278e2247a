"""How fast events come: counts by minute or hour and the last of each kind, without reading the events themselves."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from abtest.events.schema import connect

MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One stretch of time: where it begins, slates shown in it, and how many of these a fallback filled."""

    start: datetime
    exposures: int
    fallbacks: int


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The newest events of a log. last_exposure, last_outcome: None for none; steps: `step` long, oldest first.

    The steps end with the last exposure's, not with now: a log that stands still shows how it was before.
    """

    last_exposure: datetime | None
    last_outcome: datetime | None
    step: timedelta
    steps: tuple[Step, ...] = ()

    @property
    def last(self) -> datetime | None:
        """The newest event of either kind."""
        return max((at for at in (self.last_exposure, self.last_outcome) if at), default=None)

    @property
    def fallback_share(self) -> float:
        """The share of the slates in `steps` that a fallback filled; NaN for none."""
        shown = sum(step.exposures for step in self.steps)
        return sum(step.fallbacks for step in self.steps) / shown if shown else float("nan")


def pace(path: Path, step: timedelta = timedelta(hours=1), steps: int = 48) -> Pace:
    """The pace of a SQLite event log over its newest `steps` stretches of `step`; a missing log has none.

    Indexes answer what they can: opening a page must not cost a scan of the log.
    """
    if step <= timedelta() or steps < 1:
        raise ValueError(f"step must be > 0 and steps >= 1, got {step} and {steps}")
    if not path.exists():
        return Pace(last_exposure=None, last_outcome=None, step=step)
    width = step // MICROSECOND
    with closing(connect(path, read_only=True)) as connection:
        last_exposure, last_outcome = (
            connection.execute(f"SELECT max(at) FROM {kind}").fetchone()[0] for kind in ("exposures", "outcomes")
        )
        rows: Sequence[tuple[int, int, int]] = []
        if last_exposure is not None:
            start = (last_exposure // width - steps + 1) * width
            spelled = "context LIKE '%\"fallback\":true%' OR context LIKE '%\"fallback\": true%'"
            rows = connection.execute(
                f"SELECT at / {width}, count(*), sum({spelled}) FROM exposures WHERE at >= ? GROUP BY 1", (start,)
            ).fetchall()
    counted = {number: (shown, fallbacks) for number, shown, fallbacks in rows}
    first = (last_exposure or 0) // width - steps + 1
    return Pace(
        last_exposure=_moment(last_exposure),
        last_outcome=_moment(last_outcome),
        step=step,
        steps=tuple(_step(number, width, counted) for number in range(first, first + steps)) if counted else (),
    )


def _step(number: int, width: int, counted: dict[int, tuple[int, int]]) -> Step:
    shown, fallbacks = counted.get(number, (0, 0))
    start = _moment(number * width)
    assert start is not None, "a step has a start"
    return Step(start=start, exposures=shown, fallbacks=fallbacks)


def _moment(at: int | None) -> datetime | None:
    return None if at is None else EPOCH + timedelta(microseconds=at)

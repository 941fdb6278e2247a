"""How fast events come: counts by minute or hour and the last of each kind, without reading the events themselves."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from abtest.assignment.holdout import COMPANION
from abtest.events.schema import connect

Ask = Callable[[str], Sequence[Any]]
"""Gives the rows of a query."""
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
    """The pace of a SQLite event log over its newest `steps` stretches of `step`; a missing log has none."""
    if not path.exists():
        return paced(lambda _: [(None,)], step, steps)
    with closing(connect(path, read_only=True)) as connection:
        return paced(lambda query: connection.execute(query).fetchall(), step, steps)


def paced(ask: Ask, step: timedelta, steps: int) -> Pace:
    """The pace of an event log that answers queries; the same ones for every engine.

    Indexes answer what they can: opening a page must not cost a scan of the log. A slate that is logged under the
    holdout as well counts once.
    """
    if step <= timedelta() or steps < 1:
        raise ValueError(f"step must be > 0 and steps >= 1, got {step} and {steps}")
    width = step // MICROSECOND
    last_exposure, last_outcome = (ask(f"SELECT max(at) FROM {kind}")[0][0] for kind in ("exposures", "outcomes"))
    rows: Sequence[Any] = ()
    if last_exposure is not None:
        start = (last_exposure // width - steps + 1) * width
        fallback = "context LIKE '%\"fallback\":true%' OR context LIKE '%\"fallback\": true%'"
        rows = ask(
            f"SELECT at / {width}, count(*), sum(CASE WHEN {fallback} THEN 1 ELSE 0 END) FROM exposures "
            f"WHERE at >= {start} AND id NOT LIKE '%{COMPANION}' GROUP BY 1"
        )
    counted = {int(number): (int(shown), int(fallbacks)) for number, shown, fallbacks in rows}
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

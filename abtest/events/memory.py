"""The event log in memory: for tests, simulations and notebooks. It lives as long as the process."""

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime

import pyarrow as pa

from abtest.events.log import EXPOSURES, OUTCOMES, SCHEMAS, EventLog, Kind
from abtest.events.rows import (
    ExposureRow,
    OutcomeRow,
    bounds,
    day_of,
    exposure_batch,
    in_order,
    outcome_batch,
    rows_of,
)
from abtest.types import Exposure, Outcome
from bakeoff.catalogue import check_name


class MemoryLog(EventLog):
    """Keeps the events of this process, in dictionaries by id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exposures: dict[str, ExposureRow] = {}
        self._outcomes: dict[str, OutcomeRow] = {}
        self._closed = False

    def append_each(self, events: Sequence[Exposure | Outcome]) -> list[bool]:
        """Keep the events and tell of each whether it was new."""
        rows = rows_of(events)
        with self._lock:
            self._check_open()
            exposures = [self._exposures.setdefault(row.id, row) is row for row in rows.exposures]
            outcomes = [self._outcomes.setdefault(row.id, row) is row for row in rows.outcomes]
        return in_order(events, exposures, outcomes)

    def exposures(
        self, experiment: str | None = None, *, since: datetime | None = None, until: datetime | None = None
    ) -> pa.Table:
        """The exposures of one experiment, or of all, with the schema EXPOSURES."""
        start, end = bounds(since, until)
        rows = [
            row
            for row in self._snapshot()[0]
            if start <= row.at < end and (experiment is None or row.experiment == experiment)
        ]
        rows.sort(key=lambda row: (row.at, row.id))
        return pa.Table.from_batches([exposure_batch(rows)], EXPOSURES)

    def outcomes(
        self, experiment: str | None = None, *, since: datetime | None = None, until: datetime | None = None
    ) -> pa.Table:
        """The outcomes of units ever exposed in the experiment, or of all units, with the schema OUTCOMES."""
        start, end = bounds(since, until)
        exposures, outcomes = self._snapshot()
        exposed = {row.unit for row in exposures if row.experiment == experiment}
        rows = [row for row in outcomes if start <= row.at < end and (experiment is None or row.unit in exposed)]
        rows.sort(key=lambda row: (row.at, row.id))
        return pa.Table.from_batches([outcome_batch(rows)], OUTCOMES)

    def days(self, kind: Kind) -> dict[date, int]:
        """How many exposures or outcomes each UTC day holds, oldest day first."""
        check_name(SCHEMAS, kind, "kind of event")
        exposures, outcomes = self._snapshot()
        times = [row.at for row in exposures] if kind == "exposures" else [row.at for row in outcomes]
        return dict(sorted(Counter(map(day_of, times)).items()))

    def close(self) -> None:
        """Forget nothing, but take and give nothing more."""
        with self._lock:
            self._closed = True

    def _snapshot(self) -> tuple[list[ExposureRow], list[OutcomeRow]]:
        with self._lock:
            self._check_open()
            return list(self._exposures.values()), list(self._outcomes.values())

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this event log is closed")

"""EventLog: the contract of every place that keeps exposures and outcomes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import TracebackType
from typing import Literal, Self

import pyarrow as pa

from abtest.types import Exposure, Outcome

EXPOSURES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("experiment", pa.string(), nullable=False),
        pa.field("variant", pa.string(), nullable=False),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("items", pa.list_(pa.string())),
        pa.field("scores", pa.list_(pa.float32())),
        pa.field("propensities", pa.list_(pa.float32())),
        pa.field("context", pa.string()),  # a JSON object
    ]
)
OUTCOMES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("item", pa.string()),
        pa.field("exposure", pa.string()),
    ]
)

Kind = Literal["exposures", "outcomes"]
SCHEMAS: Mapping[str, pa.Schema] = {"exposures": EXPOSURES, "outcomes": OUTCOMES}


class EventLog(ABC):
    """Exposures and outcomes, kept for ever.

    - When `append` returns, the events are durable: they survive the death of the process.
    - An event whose id is already there is ignored, also within one batch: sending twice is safe. An exposure and an
      outcome may share an id.
    - A batch is kept whole or not at all. A bad event (empty id, unit, variant or kind; a time without zone; a value
      that is not finite; scores or propensities that are not one per item; a propensity outside (0, 1]; text that is
      no Unicode; a context that is no JSON) refuses the batch with a ValueError that names the event and the field.
    - Reads give rows ordered by (at, id), in UTC; `since` and `until` bound them to since <= at < until.
    - Any number of threads may append and read; a log that is kept in a file may be opened by several processes.
    - What cannot be kept (a full disk, a file held by another process) is an OSError for whoever appends it, and
      nothing of the batch is there. A closed log answers with a RuntimeError.
    """

    def append(self, events: Sequence[Exposure | Outcome]) -> int:
        """Keep the events and return how many of them were new."""
        return sum(self.append_each(events))

    @abstractmethod
    def append_each(self, events: Sequence[Exposure | Outcome]) -> list[bool]:
        """The same, told of each event: whether it was new. Of two with one id in the batch the first is."""

    @abstractmethod
    def exposures(
        self, experiment: str | None = None, *, since: datetime | None = None, until: datetime | None = None
    ) -> pa.Table:
        """The exposures of one experiment, or of all, with the schema EXPOSURES."""

    @abstractmethod
    def outcomes(
        self, experiment: str | None = None, *, since: datetime | None = None, until: datetime | None = None
    ) -> pa.Table:
        """The outcomes of units ever exposed in the experiment, or of all units, with the schema OUTCOMES.

        Also those before a unit's first exposure: they are the covariates of the analysis.
        """

    @abstractmethod
    def days(self, kind: Kind) -> dict[date, int]:
        """How many exposures or outcomes each UTC day holds, oldest day first. Events are never changed or removed."""

    @abstractmethod
    def close(self) -> None:
        """Release files and threads; everything acknowledged is already safe. Closing twice is allowed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

"""The lake: the log's history as Parquet, one file per kind and UTC day, for any engine that reads Parquet.

`exposures/day=2025-01-06/part-0.parquet`, `outcomes/day=.../part-0.parquet`, rows ordered by (at, id). A reader, or a
crash, sees a day as it was before an export or after it, never a half of it.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from abtest.events.log import SCHEMAS, EventLog, Kind
from bakeoff.durable import sync_folder, write_bytes

_FILE = "part-0.parquet"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export wrote: the days it (re)wrote and the rows they hold now; the days that were already complete."""

    exposure_days: tuple[date, ...]
    outcome_days: tuple[date, ...]
    exposures: int
    outcomes: int
    unchanged: int


def export(log: EventLog, folder: Path) -> Exported:
    """Bring the lake up to the log: write the days that have grown since the last export, whole.

    Exporting again writes nothing; a late event rewrites its day. Events are never changed or removed, so a day is
    complete when the lake holds as many of its rows as the log. A lake that holds more than the log belongs to another
    log, or the log lost events: a ValueError, and that day stays as it is.
    """
    exposures, complete_exposures = _export(log, folder, "exposures")
    outcomes, complete_outcomes = _export(log, folder, "outcomes")
    return Exported(
        exposure_days=tuple(exposures),
        outcome_days=tuple(outcomes),
        exposures=sum(exposures.values()),
        outcomes=sum(outcomes.values()),
        unchanged=complete_exposures + complete_outcomes,
    )


def read(folder: Path, kind: Kind, experiment: str | None = None) -> pa.Table:
    """The lake's exposures or outcomes, as the log they came from would give them; empty when there are none.

    With an experiment: its exposures, or the outcomes of the units ever exposed in it.
    """
    parts = [pq.read_table(path, schema=SCHEMAS[kind], partitioning=None) for path in files(folder, kind)]
    table = pa.concat_tables([SCHEMAS[kind].empty_table(), *parts])
    if experiment is None:
        return table
    if kind == "exposures":
        return table.filter(pc.equal(table["experiment"], experiment))
    exposed = pc.unique(read(folder, "exposures", experiment)["unit"])
    return table.filter(pc.is_in(table["unit"], value_set=exposed))


def files(folder: Path, kind: Kind) -> list[Path]:
    """The Parquet files of one kind, oldest day first: what DuckDB's `read_parquet` or Spark takes."""
    return sorted((folder / kind).glob(f"day=*/{_FILE}"))


def days(folder: Path, kind: Kind) -> dict[date, int]:
    """How many rows each day of the lake holds, oldest day first, from the files' footers."""
    return {
        date.fromisoformat(path.parent.name.removeprefix("day=")): pq.read_metadata(path).num_rows
        for path in files(folder, kind)
    }


def _export(log: EventLog, folder: Path, kind: Kind) -> tuple[dict[date, int], int]:
    """Write what has grown; the rows of each written day, and how many days were complete."""
    logged, kept = log.days(kind), days(folder, kind)
    _check_same_log(logged, kept, folder, kind)
    grown = [day for day, n in logged.items() if n != kept.get(day)]
    written = {day: _write_day(log, folder, kind, day) for day in grown}
    if written:
        sync_folder(folder / kind)
        sync_folder(folder)
    return written, len(logged) - len(written)


def _check_same_log(logged: dict[date, int], kept: dict[date, int], folder: Path, kind: Kind) -> None:
    for day, n in kept.items():
        if n > logged.get(day, 0):
            raise ValueError(
                f"{folder} holds {n} {kind} of {day} and the log only {logged.get(day, 0)}: is it the lake of another "
                "log? Export to a folder of its own"
            )


def _write_day(log: EventLog, folder: Path, kind: Kind, day: date) -> int:
    since = datetime.combine(day, time(), UTC)
    until = None if day == date.max else since + timedelta(days=1)
    table = (log.exposures if kind == "exposures" else log.outcomes)(since=since, until=until)
    content = pa.BufferOutputStream()
    pq.write_table(table, content, compression="zstd")
    write_bytes(folder / kind / f"day={day.isoformat()}" / _FILE, content.getvalue().to_pybytes())
    return int(table.num_rows)

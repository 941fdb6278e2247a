"""The event log in a PostgreSQL database: for several machines that write at once. Durable when `append` returns."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

import psycopg
import pyarrow as pa

from abtest.events.log import SCHEMAS, EventLog, Kind
from abtest.events.pace import Pace, paced
from abtest.events.rows import (
    DAY,
    ExposureRow,
    OutcomeRow,
    Rows,
    bounds,
    day_of,
    exposure_batch,
    in_order,
    outcome_batch,
    rows_of,
)
from abtest.types import Exposure, Outcome
from bakeoff.catalogue import check_name

R = TypeVar("R", ExposureRow, OutcomeRow)
VERSION = 1
READ_BLOCK = 65_536  # rows turned into Arrow at a time
PATIENCE = 10  # seconds to connect

# ids sort by code point, as in Python and SQLite: COLLATE "C"; times are microseconds since 1970, UTC
_TABLES = """
CREATE TABLE IF NOT EXISTS bakeoff_log (version integer NOT NULL);
CREATE TABLE IF NOT EXISTS exposures (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    unit text COLLATE "C" NOT NULL,
    experiment text COLLATE "C" NOT NULL,
    variant text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    items text NOT NULL,
    scores bytea NOT NULL,
    propensities bytea NOT NULL,
    context text NOT NULL
);
CREATE INDEX IF NOT EXISTS exposures_of_experiment ON exposures (experiment, at);
CREATE INDEX IF NOT EXISTS exposures_by_time ON exposures (at);
CREATE TABLE IF NOT EXISTS outcomes (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    unit text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    value double precision NOT NULL,
    item text COLLATE "C" NOT NULL,
    exposure text COLLATE "C" NOT NULL
);
CREATE INDEX IF NOT EXISTS outcomes_by_time ON outcomes (at);
INSERT INTO bakeoff_log SELECT 1 WHERE NOT EXISTS (SELECT FROM bakeoff_log);
"""
_LOCK = 0x6261_6B65  # of the transaction that makes the tables: processes may start at once
_TYPES = {
    "exposures": ("text", "text", "text", "text", "bigint", "text", "bytea", "bytea", "text"),
    "outcomes": ("text", "text", "text", "bigint", "float8", "text", "text"),
}
Connection = psycopg.Connection[tuple[Any, ...]]


class PostgresLog(EventLog):
    """Keeps events in a database, one transaction a batch; PostgreSQL itself shares the disk's work among them.

    Each call has a connection of its own, kept for the next one. One that breaks is thrown away: the caller gets an
    OSError, and the next call connects anew, so that a server that comes back is found without a restart.
    now: connect at once, or raise an OSError; else with the first call.
    """

    def __init__(self, dsn: str, *, now: bool = True) -> None:
        self._dsn = dsn
        self._prepared = False
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False
        if now:
            with self._connection("open"):
                pass

    def append_each(self, events: Sequence[Exposure | Outcome]) -> list[bool]:
        """Keep the events, on disk when this returns, and tell of each whether it was new."""
        rows = rows_of(events)
        self._check_open()
        if not len(rows):
            return []
        with self._connection(f"keep {len(rows)} events, none of which is in it") as connection:
            new = _inserted(connection, rows)
        return in_order(events, *new)

    def exposures(
        self, experiment: str | None = None, *, since: datetime | None = None, until: datetime | None = None
    ) -> pa.Table:
        """The exposures of one experiment, or of all, with the schema EXPOSURES."""
        only = "" if experiment is None else "AND experiment = %(experiment)s"
        return self._read("exposures", only, experiment, since, until)

    def outcomes(
        self, experiment: str | None = None, *, since: datetime | None = None, until: datetime | None = None
    ) -> pa.Table:
        """The outcomes of units ever exposed in the experiment, or of all units, with the schema OUTCOMES."""
        exposed = "AND unit IN (SELECT unit FROM exposures WHERE experiment = %(experiment)s)"
        return self._read("outcomes", "" if experiment is None else exposed, experiment, since, until)

    def days(self, kind: Kind) -> dict[date, int]:
        """How many exposures or outcomes each UTC day holds, oldest day first."""
        check_name(SCHEMAS, kind, "kind of event")  # it becomes part of the query
        # bigint divides towards zero: the remainder is made positive first, for days before 1970
        start = f"at - (at % {DAY} + {DAY}) % {DAY}"
        with self._connection("be read") as connection:
            counted = connection.execute(f"SELECT {start}, count(*) FROM {kind} GROUP BY 1 ORDER BY 1").fetchall()
        return {day_of(at): n for at, n in counted}

    def pace(self, step: timedelta, steps: int) -> Pace:
        """The pace of the log over its newest `steps` stretches of `step`."""
        with self._connection("be read") as connection:
            return paced(lambda query: connection.execute(query).fetchall(), step, steps)

    def close(self) -> None:
        """Release the connections; everything acknowledged is already safe."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _read(
        self, kind: Kind, condition: str, experiment: str | None, since: datetime | None, until: datetime | None
    ) -> pa.Table:
        start, end = bounds(since, until)
        names = SCHEMAS[kind].names
        query = f"SELECT {', '.join(names)} FROM {kind} WHERE at >= %(start)s AND at < %(end)s {condition}"
        values = {"experiment": None if experiment is None else _escaped(experiment), "start": start, "end": end}
        self._check_open()
        with (
            self._connection("be read") as connection,
            connection.transaction(),
            connection.cursor(name="blocks") as cursor,  # on the server: memory holds a block, not the log
        ):
            cursor.execute(f"{query} ORDER BY at, id", values)
            batches = [_batch(kind, rows) for rows in _blocks(cursor)]
        return pa.Table.from_batches(batches, SCHEMAS[kind])

    @contextmanager
    def _connection(self, purpose: str) -> Iterator[Connection]:
        """A connection of its own for each call; what the database refuses is an OSError that says for what."""
        self._check_open()
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        try:
            if connection is None:
                connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=PATIENCE)
            if not self._prepared:
                _prepare(connection)
                self._prepared = True
            yield connection
        except psycopg.Error as error:
            if connection is not None:
                with suppress(psycopg.Error):
                    connection.close()
            raise OSError(f"the event log in PostgreSQL cannot {purpose}: {str(error).strip()}") from error
        finally:
            if connection is not None and not connection.closed:
                self._give_back(connection)

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this event log is closed")


def _prepare(connection: Connection) -> None:
    """Make the tables where there are none; a log of a later version is a ValueError."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(_TABLES)
        found = connection.execute("SELECT max(version) FROM bakeoff_log").fetchone()
        if found is not None and found[0] > VERSION:
            raise ValueError(f"the log has version {found[0]}, this bakeoff knows up to {VERSION}: upgrade bakeoff")


def _inserted(connection: Connection, rows: Rows) -> tuple[list[bool], list[bool]]:
    """Insert in one transaction, and tell of each row whether it was new."""
    with connection.transaction():
        # a session that gives up durability for speed would break the promise of `append`
        connection.execute("SET LOCAL synchronous_commit = on")
        return _insert(connection, "exposures", rows.exposures), _insert(connection, "outcomes", rows.outcomes)


def _insert(connection: Connection, kind: Kind, rows: Sequence[R]) -> list[bool]:
    if not rows:
        return []
    columns = [list(column) for column in zip(*map(_to_text, rows), strict=True)]
    names, types = ", ".join(SCHEMAS[kind].names), _TYPES[kind]
    arrays = ", ".join(f"%s::{kind_of}[]" for kind_of in types)
    # by id: two batches with the same ids then wait for each other in one order, and cannot lock each other out
    query = f"""INSERT INTO {kind} ({names})
        SELECT {names} FROM unnest({arrays}) WITH ORDINALITY AS t({names}, place) ORDER BY id, place
        ON CONFLICT (id) DO NOTHING RETURNING id"""
    new = {id for (id,) in connection.execute(query, columns)}
    told = []
    for id in columns[0]:
        told.append(id in new)
        new.discard(id)  # of two with one id, the first was the new one
    return told


def _to_text(row: R) -> R:
    """PostgreSQL's text holds no NUL: it is escaped, in an order that keeps the order of ids."""
    if not any(isinstance(value, str) and ("\0" in value or "\1" in value) for value in row):
        return row
    return type(row)(*(_escaped(value) if isinstance(value, str) else value for value in row))  # type: ignore[arg-type]


def _from_text(row: Sequence[Any]) -> list[Any]:
    return [_restored(value) if isinstance(value, str) and "\1" in value else value for value in row]


def _escaped(text: str) -> str:
    return text.replace("\1", "\1\2").replace("\0", "\1\1")


def _restored(text: str) -> str:
    return "".join("\0" if part == "\1\1" else "\1" if part == "\1\2" else part for part in _parts(text))


def _parts(text: str) -> Iterator[str]:
    place = 0
    while place < len(text):
        width = 2 if text[place] == "\1" else 1
        yield text[place : place + width]
        place += width


def _batch(kind: Kind, rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    plain = [_from_text(row) for row in rows]
    if kind == "exposures":
        return exposure_batch([ExposureRow(*row) for row in plain])
    return outcome_batch([OutcomeRow(*row) for row in plain])


def _blocks(cursor: psycopg.ServerCursor[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while rows := cursor.fetchmany(READ_BLOCK):
        yield rows

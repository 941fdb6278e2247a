"""The event log in one SQLite file: durable when `append` returns, safe to send twice, shared by processes."""

import queue
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from abtest.events.log import EXPOSURES, OUTCOMES, SCHEMAS, EventLog, Kind
from abtest.events.rows import DAY, Rows, bounds, day_of, exposure_batch, in_order, outcome_batch, rows_of
from abtest.events.schema import INSERT_EXPOSURE, INSERT_OUTCOME, connect, prepare
from abtest.types import Exposure, Outcome
from bakeoff.catalogue import check_name

GROUP = 1_000  # events: a commit takes no further waiting batches beyond this many
WAITING = 1_000  # batches in the queue before `append` waits for room
READ_BLOCK = 65_536  # rows turned into Arrow at a time


@dataclass(frozen=True)
class _Batch:
    rows: Rows
    each: bool
    new: Future[int | tuple[list[bool], list[bool]]] = field(default_factory=Future)


class SQLiteLog(EventLog):
    """Keeps events in a file, written by one thread that commits all waiting batches together (group commit).

    There is no timer: an idle writer commits at once, a busy one finds the next batches in its queue, so that neither
    a single caller nor a crowd waits for more than the disk. Reads have connections of their own and block no write.
    The file must be on a local disk: write-ahead logging does not work over a network.
    """

    def __init__(self, path: str | Path) -> None:
        # absolute: ":memory:" and "" would be private databases of each connection
        self.path = Path(path).absolute()
        self._writer_connection = prepare(self.path)
        self._queue: queue.Queue[_Batch | None] = queue.Queue(maxsize=WAITING)
        self._lock = threading.Lock()
        self._closed = False
        self._readers_lock = threading.Lock()
        self._idle_readers: list[sqlite3.Connection] = []
        self._writer = threading.Thread(target=self._write_until_closed, name=f"log {self.path.name}", daemon=True)
        self._writer.start()

    def append(self, events: Sequence[Exposure | Outcome]) -> int:
        """Keep the events, on disk when this returns, and return how many of them were new."""
        new = self._keep(rows_of(events), each=False)
        assert isinstance(new, int), "asked for a count"
        return new

    def append_each(self, events: Sequence[Exposure | Outcome]) -> list[bool]:
        """Keep the events, on disk when this returns, and tell of each whether it was new."""
        new = self._keep(rows_of(events), each=True)
        return [] if isinstance(new, int) else in_order(events, *new)

    def _keep(self, rows: Rows, *, each: bool) -> int | tuple[list[bool], list[bool]]:
        batch = _Batch(rows, each)
        with self._lock:
            self._check_open()
            if not len(batch.rows):
                return 0
            self._queue.put(batch)
        try:
            return batch.new.result()
        except sqlite3.Error as error:
            raise OSError(f"{self.path} could not keep {len(batch.rows)} events, none is in it: {error}") from error

    def exposures(
        self, experiment: str | None = None, *, since: datetime | None = None, until: datetime | None = None
    ) -> pa.Table:
        """The exposures of one experiment, or of all, with the schema EXPOSURES."""
        only = "" if experiment is None else "AND experiment = :experiment"
        return self._read("exposures", only, experiment, since, until)

    def outcomes(
        self, experiment: str | None = None, *, since: datetime | None = None, until: datetime | None = None
    ) -> pa.Table:
        """The outcomes of units ever exposed in the experiment, or of all units, with the schema OUTCOMES."""
        exposed = "AND unit IN (SELECT unit FROM exposures WHERE experiment = :experiment)"
        return self._read("outcomes", "" if experiment is None else exposed, experiment, since, until)

    def days(self, kind: Kind) -> dict[date, int]:
        """How many exposures or outcomes each UTC day holds, oldest day first."""
        check_name(SCHEMAS, kind, "kind of event")  # it becomes part of the query
        # SQLite divides towards zero: the remainder is made positive first, for days before 1970
        start = f"at - (at % {DAY} + {DAY}) % {DAY}"
        with self._reader() as connection:
            counted = connection.execute(f"SELECT {start}, count(*) FROM {kind} GROUP BY 1 ORDER BY 1").fetchall()
        return {day_of(at): n for at, n in counted}

    def close(self) -> None:
        """Commit what waits, end the writer and release the file."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._writer.join()
        with self._readers_lock:
            readers, self._idle_readers = self._idle_readers, []
        for connection in readers:
            connection.close()

    def _read(
        self, kind: Kind, condition: str, experiment: str | None, since: datetime | None, until: datetime | None
    ) -> pa.Table:
        schema, batch_of = (EXPOSURES, exposure_batch) if kind == "exposures" else (OUTCOMES, outcome_batch)
        start, end = bounds(since, until)
        query = f"SELECT {', '.join(schema.names)} FROM {kind} WHERE at >= :start AND at < :end {condition}"
        with self._reader() as connection:
            found = connection.execute(
                f"{query} ORDER BY at, id", {"experiment": experiment, "start": start, "end": end}
            )
            batches = [batch_of(rows) for rows in _blocks(found)]
        return pa.Table.from_batches(batches, schema)

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own for each read that runs at the same time, kept for the next one."""
        self._check_open()
        with self._readers_lock:
            connection = self._idle_readers.pop() if self._idle_readers else None
        connection = connection or connect(self.path, read_only=True)
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._readers_lock:
            if not self._closed:
                self._idle_readers.append(connection)
                return
        connection.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"the event log {self.path} is closed")

    def _write_until_closed(self) -> None:
        with closing(self._writer_connection) as connection:
            while (first := self._queue.get()) is not None:
                batches, last = self._with_waiting(first)
                _commit(connection, batches)
                if last:
                    return

    def _with_waiting(self, first: _Batch) -> tuple[list[_Batch], bool]:
        """The batch and those that wait behind it, up to a group; and whether the end of the queue was among them."""
        batches, n = [first], len(first.rows)
        while n < GROUP:
            try:
                batch = self._queue.get_nowait()
            except queue.Empty:
                return batches, False
            if batch is None:
                return batches, True
            batches.append(batch)
            n += len(batch.rows)
        return batches, False


def _commit(connection: sqlite3.Connection, batches: Sequence[_Batch]) -> None:
    """Write the batches in one transaction, then tell each of their senders: how many were new, or what went wrong."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        new = [(_insert_each if batch.each else _insert)(connection, batch.rows) for batch in batches]
        connection.execute("COMMIT")
    except BaseException as error:  # the senders wait for an answer, whatever it is
        for batch in batches:
            batch.new.set_exception(error)
        # a rollback that fails, too, leaves the next BEGIN to say so: this thread must live to answer
        with suppress(sqlite3.Error):
            connection.rollback()
    else:
        for batch, n in zip(batches, new, strict=True):
            batch.new.set_result(n)


def _insert(connection: sqlite3.Connection, rows: Rows) -> int:
    before = connection.total_changes
    connection.executemany(INSERT_EXPOSURE, rows.exposures)
    connection.executemany(INSERT_OUTCOME, rows.outcomes)
    return connection.total_changes - before


def _insert_each(connection: sqlite3.Connection, rows: Rows) -> tuple[list[bool], list[bool]]:
    # `executemany` only counts; one by one costs a fifth more, and says which
    return (
        [connection.execute(INSERT_EXPOSURE, row).rowcount == 1 for row in rows.exposures],
        [connection.execute(INSERT_OUTCOME, row).rowcount == 1 for row in rows.outcomes],
    )


def _blocks(cursor: sqlite3.Cursor) -> Iterator[list[Any]]:
    while rows := cursor.fetchmany(READ_BLOCK):
        yield rows

"""The SQLite file of an event log: its tables, its version, how it is opened."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from abtest.events.log import EXPOSURES, OUTCOMES
from bakeoff.durable import sync_folder

VERSION = 1  # in PRAGMA user_version; a change of the tables raises it and adds a step to `prepare`
PATIENCE = 30.0  # seconds to wait for another process that writes

_TABLES = """
CREATE TABLE exposures (
    id TEXT NOT NULL PRIMARY KEY,
    unit TEXT NOT NULL,
    experiment TEXT NOT NULL,
    variant TEXT NOT NULL,
    at INTEGER NOT NULL,          -- microseconds since 1970, UTC
    items TEXT NOT NULL,          -- JSON list
    scores BLOB NOT NULL,         -- float32, little-endian
    propensities BLOB NOT NULL,   -- float32, little-endian
    context TEXT NOT NULL         -- JSON object
);
CREATE INDEX exposures_of_experiment ON exposures (experiment, at);
CREATE INDEX exposures_by_time ON exposures (at);
CREATE TABLE outcomes (
    id TEXT NOT NULL PRIMARY KEY,
    unit TEXT NOT NULL,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,          -- microseconds since 1970, UTC
    value REAL NOT NULL,
    item TEXT NOT NULL,
    exposure TEXT NOT NULL
);
CREATE INDEX outcomes_by_time ON outcomes (at);
"""


def _insert_into(table: str, columns: list[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING"


INSERT_EXPOSURE = _insert_into("exposures", EXPOSURES.names)
INSERT_OUTCOME = _insert_into("outcomes", OUTCOMES.names)


def prepare(path: Path) -> sqlite3.Connection:
    """Open the log's file for writing; make it and its tables if there is none, refuse what is no event log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = connect(path)
    with _explained(connection, path):
        _check_version(connection, path)  # before anything is changed: the file may be somebody else's
        _use_write_ahead_log(connection, path)
        _create_tables(connection, path)
    sync_folder(path.parent)
    return connection


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection that waits for other processes, and whose commits are on disk when they return."""
    try:
        # whoever holds a connection uses it alone, but close() may come from another thread
        connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    except sqlite3.OperationalError as error:
        raise OSError(f"{path} cannot be opened as an event log: {error}") from error
    with _explained(connection, path):
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 8000")  # pages, 32 MB: a quarter faster than 1000
        connection.execute(f"PRAGMA query_only = {int(read_only)}")
    return connection


@contextmanager
def _explained(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Close the connection when opening fails, and say of which file and why."""
    try:
        yield
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError):
            raise OSError(f"{path} cannot be opened as an event log: {error}") from error
        if isinstance(error, sqlite3.DatabaseError):
            raise ValueError(f"{path} is no SQLite file: {error}; give the event log a path of its own") from error
        raise


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise ValueError(f"{path} has schema version {version}, this bakeoff knows up to {VERSION}: upgrade bakeoff")
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise ValueError(f"{path} is a SQLite file with tables that are no event log; give the log a path of its own")
    return version


def _use_write_ahead_log(connection: sqlite3.Connection, path: Path) -> None:
    # the one statement for which SQLite does not wait when another process does the same
    for attempt in range(round(PATIENCE / 0.01)):
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError:
            time.sleep(0.01 * (attempt > 0))
    else:
        raise OSError(f"{path} is held by another process for {PATIENCE:g} seconds")
    if mode != "wal":
        raise OSError(f"{path} is on a disk that allows no write-ahead log (mode {mode}); use a local folder")


def _create_tables(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _check_version(connection, path) == 0:  # else another process was faster
            for statement in _TABLES.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise

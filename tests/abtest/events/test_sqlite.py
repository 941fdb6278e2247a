"""What only the SQLite log has to keep: its file, its version, its writer."""

import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from abtest.events import schema
from abtest.events.sqlite import SQLiteLog
from abtest.types import Exposure, Outcome

MONDAY = datetime(2025, 1, 6, tzinfo=UTC)


def outcomes(first: int, n: int = 1) -> list[Outcome]:
    return [Outcome(id=f"o{i}", unit="u", kind="click", at=MONDAY) for i in range(first, first + n)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "events.db"


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody's SQLite connection to other.db."""
    connection = sqlite3.connect(tmp_path / "other.db", isolation_level=None)
    yield connection
    connection.close()


def test_file_is_in_write_ahead_mode_and_carries_its_version(path: Path) -> None:
    with SQLiteLog(path) as log:
        log.append(outcomes(0))
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    connection.close()


def test_connections_wait_for_the_disk(path: Path) -> None:
    path.parent.mkdir()
    connection = schema.connect(path)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL: an fsync at each commit
    connection.close()


def test_any_sqlite_client_can_read_the_rows(path: Path) -> None:
    with SQLiteLog(path) as log:
        log.append([Exposure(id="e", unit="u", experiment="x", variant="a", at=MONDAY, items=("a", 'b"'))])
        connection = sqlite3.connect(path)
        rows = connection.execute(
            "SELECT datetime(at / 1000000, 'unixepoch'), value FROM exposures, json_each(items)"
        ).fetchall()
        connection.close()
    assert rows == [("2025-01-06 00:00:00", "a"), ("2025-01-06 00:00:00", 'b"')]


def test_newer_schema_is_refused(path: Path) -> None:
    SQLiteLog(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ValueError, match="schema version 99, this bakeoff knows up to 1: upgrade bakeoff"):
        SQLiteLog(path)


def test_database_of_somebody_else_is_refused_and_untouched(plain: sqlite3.Connection, tmp_path: Path) -> None:
    plain.execute("CREATE TABLE customers (name TEXT)")
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(ValueError, match="tables that are no event log"):
        SQLiteLog(tmp_path / "other.db")
    assert (tmp_path / "other.db").read_bytes() == before


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but long enough to have a header " * 20)
    with pytest.raises(ValueError, match="is no SQLite file"):
        SQLiteLog(tmp_path / "notes.txt")


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot be opened as an event log"):
        SQLiteLog(tmp_path)


def test_memory_is_a_file_name_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with SQLiteLog(":memory:") as log:
        log.append(outcomes(0))
        assert log.outcomes().num_rows == 1
    assert (tmp_path / ":memory:").exists()


def test_full_disk_is_an_error_for_the_sender_and_the_log_goes_on(path: Path) -> None:
    with SQLiteLog(path) as log:
        log.append(outcomes(0))
        pages = log._writer_connection.execute("PRAGMA page_count").fetchone()[0]
        log._writer_connection.execute(f"PRAGMA max_page_count = {pages + 3}")
        with pytest.raises(OSError, match=r"could not keep 5000 events, none is in it: database or disk is full"):
            log.append(outcomes(1, 5000))
        assert log.outcomes().num_rows == 1
        log._writer_connection.execute("PRAGMA max_page_count = 1000000")
        assert log.append(outcomes(1, 5000)) == 5000


def test_file_held_by_another_process_is_an_error_after_patience(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "PATIENCE", 0.05)
    with SQLiteLog(path) as log:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(OSError, match="could not keep 1 events, none is in it: database is locked"):
            log.append(outcomes(0))
        assert log.outcomes().num_rows == 0  # reading waits for nobody
        holder.execute("COMMIT")
        holder.close()
        assert log.append(outcomes(0)) == 1


def test_close_keeps_what_was_acknowledged_and_refuses_the_rest(path: Path) -> None:
    log = SQLiteLog(path)

    def send(thread: int) -> int:
        for i in range(10_000):
            try:
                log.append([Outcome(id=f"{thread}-{i}", unit="u", kind="click", at=MONDAY)])
            except RuntimeError:
                return i
        raise AssertionError("the log was never closed")

    with ThreadPoolExecutor(4) as pool:
        senders = [pool.submit(send, thread) for thread in range(4)]
        while log.outcomes().num_rows < 50:
            pass
        log.close()
        acknowledged = {f"{thread}-{i}" for thread, sender in enumerate(senders) for i in range(sender.result())}
    with SQLiteLog(path) as again:
        assert set(again.outcomes()["id"].to_pylist()) == acknowledged


def test_log_that_nobody_closed_keeps_no_process_alive(path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from datetime import UTC, datetime
        from abtest.events.sqlite import SQLiteLog
        from abtest.types import Outcome
        log = SQLiteLog(sys.argv[1])
        log.append([Outcome(id="o", unit="u", kind="click", at=datetime(2025, 1, 6, tzinfo=UTC))])
    """)
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=60)
    with SQLiteLog(path) as log:
        assert log.outcomes().num_rows == 1


def test_many_blocks_of_rows_come_back_in_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("abtest.events.sqlite.READ_BLOCK", 7)
    with SQLiteLog(path) as log:
        log.append(outcomes(0, 50)[::-1])
        assert log.outcomes()["id"].to_pylist() == sorted(f"o{i}" for i in range(50))

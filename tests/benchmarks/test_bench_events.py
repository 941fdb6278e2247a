"""How fast events are kept and read. Ratios are asserted, against bare SQLite in the same run; seconds are printed."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from time import perf_counter

import pytest

from abtest.events import lake
from abtest.events.rows import rows_of
from abtest.events.schema import INSERT_EXPOSURE, INSERT_OUTCOME, prepare
from abtest.events.sqlite import SQLiteLog
from abtest.types import Exposure, Outcome

MONDAY = datetime(2025, 1, 6, tzinfo=UTC)
N = 50_000
Event = Exposure | Outcome


def exposures() -> list[Event]:
    return [
        Exposure(
            id=f"e{i * 7919 % N:06d}",
            unit=f"user-{i % 5000}",
            experiment="ranker",
            variant="ab"[i % 2],
            at=MONDAY + timedelta(seconds=i),
            items=tuple(f"item-{i + place}" for place in range(10)),
            scores=tuple(1.0 / (place + 1) for place in range(10)),
            context={"page": 1},
        )
        for i in range(N)
    ]


def outcomes() -> list[Event]:
    return [
        Outcome(
            id=f"o{i * 7919 % N:06d}",
            unit=f"user-{i % 5000}",
            kind="click",
            at=MONDAY + timedelta(seconds=i),
            item=f"item-{i}",
        )
        for i in range(N)
    ]


def batches(events: Sequence[Event], size: int) -> list[Sequence[Event]]:
    return [events[start : start + size] for start in range(0, len(events), size)]


def seconds(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


@pytest.mark.parametrize("make", [exposures, outcomes])
def test_append_costs_little_more_than_bare_sqlite(make: Callable[[], list[Event]], tmp_path: Path) -> None:
    """Batches of 1,000: checking, turning into rows and the writer thread, on top of executemany and commit."""
    events, number = make(), count()

    def bare() -> None:
        connection = prepare(tmp_path / f"bare-{next(number)}.db")
        for batch in ready:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT_EXPOSURE, batch.exposures)
            connection.executemany(INSERT_OUTCOME, batch.outcomes)
            connection.execute("COMMIT")
        connection.close()

    def log() -> None:
        with SQLiteLog(tmp_path / f"log-{next(number)}.db") as log:
            assert sum(log.append(batch) for batch in batches(events, 1000)) == N

    ready = [rows_of(batch) for batch in batches(events, 1000)]
    bare_s, log_s = min(seconds(bare) for _ in range(3)), min(seconds(log) for _ in range(3))
    print(f"\n{make.__name__}: {N / log_s:,.0f} events per second, bare SQLite {N / bare_s:,.0f}")
    assert log_s < 3 * bare_s


def test_a_crowd_of_single_events_shares_its_commits(tmp_path: Path) -> None:
    """16 threads that append one event at a time must be faster than one: their events go into common commits."""
    events = outcomes()[:3200]

    def send(log: SQLiteLog, part: Sequence[Event]) -> None:
        for event in part:
            log.append([event])

    with SQLiteLog(tmp_path / "one.db") as log:
        alone = seconds(lambda: send(log, events[:800])) * 4
    with SQLiteLog(tmp_path / "crowd.db") as log, ThreadPoolExecutor(16) as pool:
        crowd = seconds(lambda: list(pool.map(lambda part: send(log, part), batches(events, 200))))
    print(f"\nsingle events: one thread {len(events) / alone:,.0f} per second, sixteen {len(events) / crowd:,.0f}")
    assert crowd < alone


def test_reading_costs_little_more_than_bare_rows(tmp_path: Path) -> None:
    with SQLiteLog(tmp_path / "log.db") as log:
        for batch in batches([*exposures(), *outcomes()], 5000):
            log.append(batch)
        connection = prepare(tmp_path / "log.db")
        bare = min(seconds(lambda: connection.execute("SELECT * FROM exposures").fetchall()) for _ in range(3))
        connection.close()
        shown = min(seconds(log.exposures) for _ in range(3))
        done = min(seconds(lambda: log.outcomes("ranker")) for _ in range(3))
        first, again = seconds(lambda: lake.export(log, tmp_path)), seconds(lambda: lake.export(log, tmp_path))
    back = seconds(lambda: lake.read(tmp_path, "exposures"))
    print(
        f"\nread {N / shown:,.0f} exposures per second (bare rows {N / bare:,.0f}), {N / done:,.0f} outcomes; "
        f"export {2 * N / first:,.0f} events per second, {again * 1000:.1f} ms when nothing is new; "
        f"from the lake {N / back:,.0f} exposures per second"
    )
    assert shown < 10 * bare
    assert again < first / 5
    assert back < shown

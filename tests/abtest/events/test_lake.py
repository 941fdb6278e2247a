"""The lake equals the log, whatever was exported when."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abtest.events import lake
from abtest.events.log import OUTCOMES, SCHEMAS, Kind
from abtest.events.memory import MemoryLog
from abtest.types import Outcome

MONDAY = date(2025, 1, 6)
LATE = Outcome(id="late", unit="u0", kind="buy", at=datetime(2025, 1, 6, 23, 59, 59, 999_999, tzinfo=UTC), value=9.5)


def test_lake_is_the_log(log: MemoryLog, tmp_path: Path) -> None:
    lake.export(log, tmp_path)
    for experiment in (None, "ranker", "layout", "nobody"):
        exposures, outcomes = log.exposures(experiment), log.outcomes(experiment)
        assert str(lake.read(tmp_path, "exposures", experiment).to_pylist()) == str(exposures.to_pylist())  # has NaN
        assert lake.read(tmp_path, "outcomes", experiment).equals(outcomes)
        assert lake.read(tmp_path, "exposures", experiment).schema.equals(exposures.schema)
    assert lake.read(tmp_path, "outcomes").num_rows == 5


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(-200_000, 1_000_000), max_size=12), min_size=1, max_size=4),
)
def test_lake_is_the_log_after_any_sequence_of_exports(rounds: list[list[int]]) -> None:
    # seconds around 1970-01-01, days before it too; an id that comes again is no new event
    log = MemoryLog()
    with TemporaryDirectory() as folder:
        for seconds in rounds:
            log.append([_outcome(second) for second in seconds])
            lake.export(log, Path(folder))
            assert lake.read(Path(folder), "outcomes").equals(log.outcomes())
            assert lake.days(Path(folder), "outcomes") == log.days("outcomes")


def _outcome(second: int) -> Outcome:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    return Outcome(id=f"o{second}", unit="u", kind="click", at=at)


def test_a_day_is_one_file_in_a_partition_named_by_it(log: MemoryLog, tmp_path: Path) -> None:
    lake.export(log, tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in lake.files(tmp_path, "exposures")] == [
        "exposures/day=2025-01-06/part-0.parquet",
        "exposures/day=2025-01-07/part-0.parquet",
        "exposures/day=2025-01-08/part-0.parquet",
    ]


def test_second_export_writes_nothing(log: MemoryLog, tmp_path: Path) -> None:
    first = lake.export(log, tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    second = lake.export(log, tmp_path)
    assert (first.exposures, first.outcomes, first.unchanged) == (6, 5, 0)
    assert (second.exposures, second.outcomes, second.unchanged) == (0, 0, len(written))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == written


def test_late_event_lands_in_its_day_and_leaves_the_others_alone(log: MemoryLog, tmp_path: Path) -> None:
    lake.export(log, tmp_path)
    log.append([LATE])
    again = lake.export(log, tmp_path)
    assert again.outcome_days == (MONDAY,)
    assert again.exposure_days == ()
    assert "late" in pq.read_table(lake.files(tmp_path, "outcomes")[0])["id"].to_pylist()
    assert lake.read(tmp_path, "outcomes").equals(log.outcomes())


def test_empty_log_gives_an_empty_lake(tmp_path: Path) -> None:
    exported = lake.export(MemoryLog(), tmp_path)
    assert (exported.exposures, exported.outcomes, exported.unchanged) == (0, 0, 0)
    for kind in get_args(Kind):
        assert lake.read(tmp_path, kind).equals(SCHEMAS[kind].empty_table())
        assert lake.files(tmp_path, kind) == []


def test_lake_of_another_log_is_refused_and_kept(log: MemoryLog, tmp_path: Path) -> None:
    lake.export(log, tmp_path)
    other = MemoryLog()
    other.append([LATE])
    with pytest.raises(ValueError, match=r"holds 2 exposures of 2025-01-06 and the log only 0: is it"):
        lake.export(other, tmp_path)
    assert lake.read(tmp_path, "outcomes").equals(log.outcomes())


def test_crash_while_writing_leaves_the_day_as_it_was(
    log: MemoryLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.export(log, tmp_path)
    before = lake.read(tmp_path, "outcomes")
    log.append([LATE])

    def stop(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", stop)  # the moment between the temporary file and its name
        with pytest.raises(KeyboardInterrupt):
            lake.export(log, tmp_path)
    assert lake.read(tmp_path, "outcomes").equals(before)
    lake.export(log, tmp_path)
    assert lake.read(tmp_path, "outcomes").equals(log.outcomes())


def test_duckdb_reads_the_files(log: MemoryLog, tmp_path: Path) -> None:
    lake.export(log, tmp_path)
    paths = [str(path) for path in lake.files(tmp_path, "outcomes")]
    counted = duckdb.sql("SELECT day, count(*), sum(value) FROM read_parquet($paths) GROUP BY day ORDER BY day",
                         params={"paths": paths}).fetchall()  # fmt: skip
    assert counted == [(date(2025, 1, 6), 2, 0.5), (date(2025, 1, 7), 2, 2.5), (date(2025, 1, 8), 1, 2.0)]


def test_file_carries_the_schema(log: MemoryLog, tmp_path: Path) -> None:
    lake.export(log, tmp_path)
    assert pq.read_schema(lake.files(tmp_path, "outcomes")[0]).equals(OUTCOMES)

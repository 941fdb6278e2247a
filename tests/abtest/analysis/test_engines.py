"""One analysis, every engine: DuckDB says what PostgreSQL and Spark say, of the same events."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest

from abtest.analysis.analyse import analyse
from abtest.types import AnalysisPlan, Metric, Readout
from tests.abtest.analysis.worlds import AS_OF, METRICS, START, Events, experiment

EVERY = (
    *METRICS,
    Metric(name="adjusted", kind="mean", numerator="click", covariate_days=7, window=7),
    Metric(name="large", kind="mean", numerator="purchase.value", where={"value": {"min": 10}}, cap_quantile=0.95),
    Metric(name="median", kind="quantile", quantile=0.5, numerator="impressions"),
    Metric(name="basket", kind="quantile", quantile=0.5, per="event", numerator="purchase.value"),
    Metric(name="back", kind="retention", numerator="click", day=2, window=5),
    Metric(name="variety", kind="ratio", numerator="distinct_items", denominator="impressions"),
    Metric(name="depth", kind="mean", numerator="context.depth"),
)
PLAN = AnalysisPlan(segments=("context.device", "country"), correction="bh")


def binaries() -> Path | None:
    """The folder of PostgreSQL's programs, on the path or where Debian puts them."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folders += [Path(os.path.realpath(found)).parent] if found else []
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


def missing(words: str) -> None:
    """Skip here, fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(words)
    pytest.skip(words)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A private cluster on 127.0.0.1, run by a user who is not root, as PostgreSQL demands."""
    folder = binaries()
    if folder is None:
        missing("PostgreSQL is not installed: apt-get install postgresql")
    assert folder is not None
    place = tmp_path_factory.mktemp("postgres")
    as_user = []
    if os.geteuid() == 0:
        user = "postgres" if subprocess.run(["id", "postgres"], capture_output=True).returncode == 0 else "nobody"
        place = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
        shutil.chown(place, user)
        as_user = ["runuser", "-u", user, "--"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = place / "data"
    subprocess.run(
        [*as_user, str(folder / "initdb"), "-D", str(data), "-U", "test", "-A", "trust", "--no-sync"],
        check=True, capture_output=True, cwd=place,
    )  # fmt: skip
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", str(place), "-c", "fsync=off"]
    server = subprocess.Popen(
        [*as_user, str(folder / "postgres"), "-D", str(data), *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=place,
    )  # fmt: skip
    try:
        connection = connected(port)
        yield connection
        connection.disconnect()
    finally:
        subprocess.run([*as_user, str(folder / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"], cwd=place)
        server.wait(timeout=30)
        shutil.rmtree(place, ignore_errors=True)


def connected(port: int) -> Any:
    for _ in range(100):
        try:
            return ibis.postgres.connect(user="test", host="127.0.0.1", port=port, database="postgres")
        except Exception:
            time.sleep(0.1)
    pytest.fail("PostgreSQL did not start within ten seconds")


@pytest.fixture(scope="module")
def events(world: Events) -> Events:
    """The world with what the further metrics need: devices, depths, clicks before the first exposure."""
    devices = [("phone", "desk")[i % 3 == 0] for i in range(len(world.exposures))]
    contexts = [f'{{"device": "{device}", "depth": {i % 7}}}' for i, device in enumerate(devices)]
    place = world.exposures.column_names.index("context")
    past = world.outcomes.slice(0, 2_000)
    moved = pa.array([START - (at.as_py() - START) / 4 for at in past["at"]], past.schema.field("at").type)
    past = past.set_column(past.column_names.index("at"), past.schema.field("at"), moved)
    return Events(
        world.exposures.set_column(place, "context", pa.array(contexts)), pa.concat_tables([world.outcomes, past])
    )


@pytest.fixture(scope="module")
def countries(world: Events) -> pa.Table:
    units = sorted(set(world.exposures["unit"].to_pylist()))
    return pa.table({"unit": units, "country": [("SE", "NO")[len(unit) % 2] for unit in units]})


def read(exposures: Any, outcomes: Any, countries: Any) -> Readout:
    return analyse(experiment(analysis=PLAN), EVERY, exposures, outcomes, as_of=AS_OF, unit_attributes=countries)


@pytest.fixture(scope="module")
def expected(events: Events, countries: pa.Table) -> Readout:
    return read(events.exposures, events.outcomes, countries)


def agree(found: Readout, expected: Readout) -> None:
    assert found.arms == expected.arms
    assert found.warnings == expected.warnings
    assert found.multi_variant_units == expected.multi_variant_units
    for one, other in zip(found.samples, expected.samples, strict=True):
        assert replace(one, mean=(), comoment=()) == replace(other, mean=(), comoment=())
        assert one.mean == pytest.approx(other.mean, rel=1e-10)
    for name in ("effects", "segments", "daily"):
        for mine, theirs in zip(getattr(found, name), getattr(expected, name), strict=True):
            assert (mine.metric.name, mine.variant, mine.day, mine.segment) == (
                theirs.metric.name,
                theirs.variant,
                theirs.day,
                theirs.segment,
            )
            assert mine.effect.absolute == pytest.approx(theirs.effect.absolute, rel=1e-8, abs=1e-10, nan_ok=True)
            assert mine.effect.p_value == pytest.approx(theirs.effect.p_value, rel=1e-6, nan_ok=True)


def test_every_kind_of_metric_can_be_read(expected: Readout) -> None:
    assert len(expected.effects) == len(EVERY)
    for comparison in expected.effects:
        assert comparison.effect.reason == "", comparison.metric.name
    assert {(s.segment.name, s.segment.value) for s in expected.segments if s.segment} == {
        ("context.device", "phone"), ("context.device", "desk"), ("country", "SE"), ("country", "NO"),
    }  # fmt: skip


def test_days_are_of_utc_in_whatever_zone_the_engine_is(events: Events, countries: pa.Table, expected: Readout) -> None:
    engine = ibis.duckdb.connect()
    engine.con.execute("SET TimeZone = 'Pacific/Auckland'")
    tables = {"exposures": events.exposures, "outcomes": events.outcomes, "countries": countries}
    agree(read(*(engine.create_table(name, obj=table) for name, table in tables.items())), expected)


@pytest.mark.slow
def test_postgresql_says_what_duckdb_says(
    postgres: Any, events: Events, countries: pa.Table, expected: Readout
) -> None:
    tables = {"exposures": events.exposures, "outcomes": events.outcomes, "countries": countries}
    there = [postgres.create_table(name, obj=table.select(kept(table))) for name, table in tables.items()]
    agree(read(*there), expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Spark 4 on pandas 3 warns at every step
def test_spark_says_what_duckdb_says(
    spark: Any, events: Events, countries: pa.Table, expected: Readout, tmp_path: Path
) -> None:
    connection = ibis.pyspark.connect(spark)
    tables = {"exposures": events.exposures, "outcomes": events.outcomes, "countries": countries}
    there = []
    for name, table in tables.items():
        ibis.memtable(table.select(kept(table))).to_parquet(tmp_path / f"{name}.parquet")
        there.append(connection.read_parquet(tmp_path / f"{name}.parquet", table_name=name))
    agree(read(*there), expected)


def kept(table: pa.Table) -> list[str]:
    """The columns that the analysis reads; the others are lists of floats that not every driver takes."""
    return [name for name in table.column_names if name not in ("scores", "propensities")]

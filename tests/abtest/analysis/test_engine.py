"""DuckDB is told what it cannot guess, and is left as it was."""

from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest

from abtest.analysis.engine import UNITS, a_number, check_columns, opened

SETTINGS = ("perfect_ht_threshold", "disabled_optimizers")


def settings(engine: Any) -> list[Any]:
    return [str(engine.settings[name]) for name in SETTINGS]


@pytest.fixture
def engine() -> Any:
    return ibis.duckdb.connect()


def test_the_settings_of_a_connection_are_given_back(engine: Any) -> None:
    engine.con.execute("SET perfect_ht_threshold = 7; SET disabled_optimizers = 'filter_pushdown'")
    table, before = engine.create_table("units", obj=pa.table({"unit": ["u"]})), settings(engine)
    with opened({"units": table}) as (inside,):
        assert settings(inside.get_backend()) == [str(UNITS), "filter_pushdown,build_side_probe_side"]
    assert settings(engine) == before
    with pytest.raises(ValueError, match="lacks the column"), opened({"units": table}) as (inside,):
        check_columns(inside, "units", {"variant": "text"})
    assert settings(engine) == before


def test_a_connection_whose_settings_are_locked_answers_all_the_same(engine: Any) -> None:
    table = engine.create_table("units", obj=pa.table({"unit": ["u"]}))
    engine.con.execute("SET lock_configuration = true")
    before = settings(engine)
    with opened({"units": table}) as (inside,):
        assert inside.mutate(number=a_number(inside)).to_pyarrow()["number"].to_pylist() == [0]
    assert settings(engine) == before


def test_rows_have_numbers_without_gaps_whatever_thread_made_them(engine: Any) -> None:
    engine.con.execute("CREATE TABLE many AS SELECT range % 300_000 AS unit FROM range(1_000_000)")
    with opened({"many": engine.table("many")}) as (many,):
        grouped = many.group_by("unit").agg(rows=many.count())
        numbers = grouped.mutate(number=a_number(grouped)).to_pyarrow()["number"].to_numpy()
    assert np.array_equal(np.sort(numbers), np.arange(300_000))
    assert engine.con.execute("SELECT count(*) FROM duckdb_sequences()").fetchone() == (0,)


def test_a_database_that_may_not_be_written_is_numbered_too(tmp_path: Path) -> None:
    ibis.duckdb.connect(tmp_path / "log.duckdb").create_table("units", obj=pa.table({"unit": ["u", "v"]}))
    engine = ibis.duckdb.connect(tmp_path / "log.duckdb", read_only=True)
    with opened({"units": engine.table("units")}) as (units,):
        assert sorted(units.mutate(number=a_number(units)).to_pyarrow()["number"].to_pylist()) == [0, 1]

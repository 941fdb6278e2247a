"""DuckDB is told what it cannot guess, and is left as it was."""

from typing import Any

import ibis
import pyarrow as pa
import pytest

from abtest.analysis.engine import UNITS, check_columns, opened

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
        assert inside.count().to_pyarrow().as_py() == 1
    assert settings(engine) == before
